-- Before the scripts that compare tokens.

-- By eights, as numbers: `<` between strings follows the server's locale.
local function smaller(left, right)
  for at = 1, 32, 8 do
    local a, b = left:sub(at, at + 7), right:sub(at, at + 7)
    if a ~= b then return tonumber(a, 16) < tonumber(b, 16) end
  end
  return false
end

-- What is no token of ours counts as none: such a row is older than anything.
local function token_of(text)
  if text and #text == 32 and not text:find('[^0-9a-f]') then return text end
  return ''
end

