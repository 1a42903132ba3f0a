-- The garbage collector: both modes, steps, finalisers, weak tables, resurrection, strings and big tables.
local function garbage(n) for i = 1, n do local t = { i, tostring(i), { i } }; t[4] = function() return t end end end
local function weak_count(mode, n)
  local t = setmetatable({}, { __mode = mode })
  local keep = {}
  for i = 1, n do local key, value = { i }, { i }; t[key] = value; if i % 3 == 0 then keep[#keep + 1] = key; keep[#keep + 1] = value end end
  collectgarbage()
  local count = 0
  for _ in pairs(t) do count = count + 1 end
  return count, #keep
end
for _, mode in ipairs { "incremental", "generational", "incremental" } do
  collectgarbage(mode)
  garbage(20)
  print(mode, weak_count("k", 30), weak_count("v", 30), weak_count("kv", 30))
end
local order = {}
for i = 1, 6 do setmetatable({}, { __gc = function() order[#order + 1] = i end }) end
collectgarbage(); collectgarbage()
print("finalised", table.concat(order, " "))
local saved
do local x = setmetatable({ name = "phoenix" }, { __gc = function(o) saved = o end }) end
collectgarbage(); collectgarbage()
print(saved and saved.name)
print(pcall(function() setmetatable({}, { __gc = function() error("in a finaliser") end }); collectgarbage() end))
collectgarbage("stop"); garbage(10); print(collectgarbage("isrunning")); collectgarbage("restart")
local steps = 0
repeat steps = steps + 1 until collectgarbage("step", 20) or steps > 2000
print(steps > 0, collectgarbage("isrunning"), collectgarbage("count") > 10)
collectgarbage("setpause", 100); collectgarbage("setstepmul", 200)
local text = {}
for i = 1, 60 do text[i] = ("%d:%s"):format(i, ("ab"):rep(i % 7)) end
local all = table.concat(text, ";")
print(#all, all:sub(-20), select(2, all:gsub("ab", "ab")))
local big = {}
for i = 1, 100 do big[i] = i * 2; big["k" .. i] = i end
for i = 1, 100, 2 do big[i] = nil; big["k" .. i] = nil end
local n, total = 0, 0
for k, x in pairs(big) do n = n + 1; total = total + x end
print(n, total)
local cyclic = {}
for i = 1, 30 do cyclic[i] = { prev = cyclic[i - 1] }; if i > 1 then cyclic[i - 1].next = cyclic[i] end end
cyclic = nil; collectgarbage("collect")
local ephemeron = setmetatable({}, { __mode = "k" })
do local k1, k2 = {}, {}; ephemeron[k1] = k2; ephemeron[k2] = k1 end
collectgarbage(); print(next(ephemeron))
