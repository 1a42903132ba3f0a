-- Closures share and keep their variables; loops make new ones; recursion in several shapes.
local function counter(start, step)
  local value = start
  return function() value = value + step; return value end, function(to) value = to end
end
local next_a, set_a = counter(0, 3)
local next_b = counter(100, -7)
for i = 1, 5 do io.write(next_a(), " ", next_b(), i < 5 and " " or "\n") end
set_a(1000)
print(next_a(), next_b())

local kept = {}
for i = 1, 8 do
  local square = i * i
  kept[i] = function(by) square = square + by; return square end
end
for round = 1, 3 do
  local line = {}
  for i, f in ipairs(kept) do line[i] = f(round) end
  print(table.concat(line, ","))
end

local function compose(...)
  local functions = { ... }
  return function(...)
    local results = table.pack(...)
    for i = #functions, 1, -1 do results = table.pack(functions[i](table.unpack(results, 1, results.n))) end
    return table.unpack(results, 1, results.n)
  end
end
print(compose(function(a, b) return a + b, a - b end, function(a, b) return a * 2, b * 3 end)(5, 7))
print(select("#", compose(function(...) return ... end)(nil, nil, nil)))

local function fibonacci(n) return n < 2 and n or fibonacci(n - 1) + fibonacci(n - 2) end
local memo = setmetatable({}, { __index = function(t, n) local v = n < 2 and n or t[n - 1] + t[n - 2]; t[n] = v; return v end })
print(fibonacci(10), memo[60])
local function sum_tail(n, total) if n == 0 then return total end return sum_tail(n - 1, total + n) end
print(sum_tail(500, 0))
local function depth(n) if n == 0 then return 0 end return 1 + depth(n - 1) end
print(depth(150))

-- Sorting calls back into the program; so do string.gsub and metamethods.
local words = {}
for word in ("the quick brown fox jumps over the lazy dog and runs far away"):gmatch("%a+") do words[#words + 1] = word end
local compared = 0
table.sort(words, function(a, b) compared = compared + 1; if #a ~= #b then return #a < #b end return a < b end)
print(table.concat(words, " "), compared > 0)
print((("a1b22c333"):gsub("%d+", function(d) return "<" .. #d .. ">" end)))
local vector = {}
vector.__index = vector
vector.__add = function(a, b) return setmetatable({ x = a.x + b.x, y = a.y + b.y }, vector) end
vector.__eq = function(a, b) return a.x == b.x and a.y == b.y end
vector.__lt = function(a, b) return a.x < b.x end
vector.__le = function(a, b) return a.x <= b.x end
vector.__tostring = function(a) return "(" .. a.x .. "," .. a.y .. ")" end
vector.__concat = function(a, b) return tostring(a) .. tostring(b) end
vector.__call = function(self, k) return self.x * k + self.y end
vector.__len = function(self) return self.x end
vector.__unm = function(a) return setmetatable({ x = -a.x, y = -a.y }, vector) end
local function v(x, y) return setmetatable({ x = x, y = y }, vector) end
print(tostring(v(1, 2) + v(3, 4)), v(1, 2) == v(1, 2), v(1, 5) < v(2, 0), v(2, 0) <= v(1, 9), v(1, 2) .. v(3, 4), v(2, 3)(10), #v(7, 0), tostring(-v(1, 2)))
