local function range(n) return coroutine.wrap(function() for i = 1, n do coroutine.yield(i) end end) end
local s = 0
for i in range(5000) do s = s + i end
for i = 1, 2000 do
  local ok, message = pcall(function(x) if x % 3 == 0 then error("three") end return x end, i)
  s = s + (ok and message or 1)
end
for i = 1, 3000 do local t = { i, { i } } s = s + #t end
collectgarbage()
print(s)
