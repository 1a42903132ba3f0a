local s = 0
for i = 1, 300000 do
  if i % 3 == 0 then s = s + i elseif i % 5 == 0 then s = s ~ i else s = s - (i >> 1) end
end
local n, c = 27, 0
for k = 1, 400 do
  n = k
  while n ~= 1 do if n % 2 == 0 then n = n // 2 else n = 3 * n + 1 end c = c + 1 end
end
print(s, c)
