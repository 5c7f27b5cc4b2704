local json = require("json")
local M = {}

-- Moves a piece.
function M.move(piece, to)
  check(to)
  return json.encode(piece)
end

local function check(to) end

function M:reset() self.board = nil end

return M
