local function counter() local n = 0 return function(d) n = n + d return n end end
local function map(f, t) local r = {} for i = 1, #t do r[i] = f(t[i]) end return r end
local function compose(f, g) return function(x) return f(g(x)) end end
local add = {}
for i = 1, 100 do add[i] = function(x) return x + i end end
local t = {}
for i = 1, 200 do t[i] = i end
for k = 1, 60 do t = map(compose(add[k % 100 + 1], add[(k * 7) % 100 + 1]), t) end
local c, s = counter(), 0
for i = 1, 20000 do s = c(i) end
print(t[1], t[200], s)
