local t = {}
for i = 1, 20000 do t[i] = i * 2 end
for i = 1, 5000 do t["k" .. (i % 700)] = (t["k" .. (i % 700)] or 0) + i end
local q = {}
for i = 1, 10000 do table.insert(q, i) if i % 3 == 0 then table.remove(q) end end
local s = 0
for k, v in pairs(t) do if type(k) == "string" then s = s + v end end
for i, v in ipairs(t) do s = s + v % 7 end
local m = setmetatable({}, { __index = function(_, k) return k * 2 end, __add = function(a, b) return 42 end })
for i = 1, 5000 do s = s + m[i] end
print(s, #q, m + m)
