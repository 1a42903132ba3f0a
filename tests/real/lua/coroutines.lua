-- Coroutines: generators, exchange of values, yields across pcall, metamethods and iterators, errors and closing.
local function tree(values)
  local root
  for _, value in ipairs(values) do
    local node, at = { value = value }, root
    if not root then root = node end
    while at do
      local side = value < at.value and "left" or "right"
      if at[side] then at = at[side] else at[side] = node; break end
    end
  end
  return root
end
local function walk(node)
  if node then walk(node.left); coroutine.yield(node.value); walk(node.right) end
end
local seed = 7
local function random(n) seed = (seed * 1103515245 + 12345) % 2147483648; return seed % n end
local values = {}
for i = 1, 60 do values[i] = random(1000) end
local out = {}
for value in coroutine.wrap(function() walk(tree(values)) end) do out[#out + 1] = value end
print(table.concat(out, " "))

local function producer(n) return coroutine.create(function() for i = 1, n do coroutine.yield("item" .. i) end return "end" end) end
local function filter(source) return coroutine.create(function()
  local line = 1
  while true do
    local _, value = coroutine.resume(source)
    if coroutine.status(source) == "dead" then return "eof" end
    coroutine.yield(("%3d %s"):format(line, value)); line = line + 1
  end
end) end
local source = filter(filter(producer(6)))
repeat local ok, value = coroutine.resume(source); print(ok, value) until coroutine.status(source) == "dead"

-- Yields across pcall, an error afterwards, values both ways.
local co = coroutine.wrap(function(first)
  local got = { first }
  local ok, message = pcall(function()
    got[#got + 1] = coroutine.yield("one")
    got[#got + 1] = coroutine.yield("two")
    error({ code = 42 })
  end)
  coroutine.yield(ok, type(message), message.code, table.concat(got, "/"))
  local proxy = setmetatable({}, { __index = function(_, k) return coroutine.yield("index " .. k) end,
    __add = function(a, b) return coroutine.yield("add") end })
  local x = proxy.key
  local y = proxy + 1
  return x, y
end)
print(co("a")); print(co("b")); print(co("c")); print(co()); print(co("from index")); print(co("from add"))

-- Round robin of many.
local threads, log = {}, {}
for i = 1, 10 do threads[i] = coroutine.create(function() for step = 1, i do log[#log + 1] = i .. "." .. step; coroutine.yield() end end) end
while #threads > 0 do
  for i = #threads, 1, -1 do
    coroutine.resume(threads[i])
    if coroutine.status(threads[i]) == "dead" then table.remove(threads, i) end
  end
end
print(#log, table.concat(log, " "))

-- Errors inside, closing with pending variables, wrong uses.
local failing = coroutine.create(function() local t = nil; return t.field end)
print(coroutine.resume(failing)); print(coroutine.resume(failing))
local closing = coroutine.create(function()
  local guard <close> = setmetatable({}, { __close = function(_, e) print("closed", e) end })
  coroutine.yield("open")
end)
print(coroutine.resume(closing)); print(coroutine.close(closing), coroutine.status(closing))
print(select(2, pcall(coroutine.wrap(function() error("inside") end))))
print(coroutine.isyieldable(), select(2, coroutine.running()))
local nested = coroutine.wrap(function() return coroutine.wrap(function() coroutine.yield(1); return 2 end) end)
local inner = nested(); print(inner(), inner())
local sorted = coroutine.wrap(function()
  local t = { 5, 3, 9, 1 }
  local ok, e = pcall(table.sort, t, function(a, b) coroutine.yield("never"); return a < b end)
  return ok, e
end)
print(sorted())
