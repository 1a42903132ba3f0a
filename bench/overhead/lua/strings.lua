local parts = {}
for i = 1, 3000 do
  local s = string.format("%d:%s", i, ("x"):rep(i % 17))
  s = s:gsub("x", "yz"):upper()
  if s:find("YZYZ", 1, true) then parts[#parts + 1] = s:sub(1, 12) .. "-" .. #s end
end
local all = table.concat(parts, ",")
local n = 0
for word in all:gmatch("%d+:%a*") do n = n + #word end
print(#all, n, all:byte(100, 105))
