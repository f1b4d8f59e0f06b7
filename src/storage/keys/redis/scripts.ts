/**
 * What the server does with many keys in one step. Beside each key stands its order, `lagoa:order:KEY`, a text with the milliseconds of the
 * write, the offset (or `-`) and the source; both are written together and expire together. The order counts only while its key is a
 * hash, so a key that somebody deleted takes the next write whatever was there before, and an order that is gone guards nothing.
 * A mark is a text of its own at `lagoa:mark:NAME`. Plain Lua 5.1 and commands of Redis 6.
 */
import { createHash } from 'node:crypto'

export interface Script {
  readonly text: string
  readonly sha: string
}

/** What the names of orders begin with. */
export const ORDER_PREFIX = 'lagoa:order:'
export const MARK_PREFIX = 'lagoa:mark:'

/** KEYS: key and order, for each entry; ARGV: ttl, source, offset, length, field, value, ... for each entry, empty where there is none. */
export const WRITE: Script = script(`
  local clock = redis.call('TIME')
  local now = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))
  local at = 1
  for i = 1, #KEYS, 2 do
    local key, order = KEYS[i], KEYS[i + 1]
    local ttl, source, offset = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    local first = at + 4
    at = first + tonumber(ARGV[at + 3])
    local replay = false
    if offset ~= '-' then
      local stored = redis.pcall('GET', order)
      if type(stored) == 'string' then
        local before, from = string.match(stored, '^%d+ (%d+) (.*)$')
        replay = from == source and tonumber(offset) <= tonumber(before) and redis.call('TYPE', key).ok == 'hash'
      end
    end
    if not replay then
      local written = now .. ' ' .. offset .. ' ' .. source
      -- First a command that a server without memory refuses; after a DEL it would let the others pass.
      redis.call('SET', order, written)
      redis.call('DEL', key)
      for from = first, at - 1, 1000 do
        redis.call('HSET', key, unpack(ARGV, from, math.min(from + 999, at - 1)))
      end
      if ttl ~= '' then
        -- The server's clock goes on while a script runs: a time that both get is the same for both.
        local over = string.format('%.0f', tonumber(now) + tonumber(ttl))
        redis.call('PEXPIREAT', key, over)
        redis.call('PEXPIREAT', order, over)
      end
    end
  end`)

/** KEYS: key and order, for each entry. Answers the time, then for each entry nothing, or field, value, ..., order, time to live. */
export const READ: Script = script(`
  local clock = redis.call('TIME')
  local found = { string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000)) }
  for i = 1, #KEYS, 2 do
    local kind = redis.call('TYPE', KEYS[i]).ok
    local entry = false
    if kind == 'hash' then
      entry = redis.call('HGETALL', KEYS[i])
      local order = redis.pcall('GET', KEYS[i + 1])
      entry[#entry + 1] = type(order) == 'string' and order or ''
    elseif kind == 'string' then
      entry = { 'value', redis.call('GET', KEYS[i]), '' }
    end
    if entry then entry[#entry + 1] = redis.call('PTTL', KEYS[i]) end
    found[#found + 1] = entry
  end
  return found`)

/** KEYS: key and order, for each entry. Answers how many keys were there. */
export const DELETE: Script = script(`
  local gone = 0
  for i = 1, #KEYS, 2 do
    gone = gone + redis.call('UNLINK', KEYS[i])
    redis.call('UNLINK', KEYS[i + 1])
  end
  return gone`)

/** KEYS: the mark. Answers it. */
export const MARK: Script = script(`
  local mark = redis.pcall('GET', KEYS[1])
  return type(mark) == 'string' and mark or false`)

/** KEYS: the mark; ARGV: 'new', or 'from' and what it must be; what it becomes. Answers 1 when it was that. */
export const MOVE_MARK: Script = script(`
  local mark = redis.pcall('GET', KEYS[1])
  if ARGV[1] == 'new' and type(mark) == 'string' or ARGV[1] == 'from' and mark ~= ARGV[2] then return 0 end
  redis.call('SET', KEYS[1], ARGV[#ARGV])
  return 1`)

function script(text: string): Script {
  return { text, sha: createHash('sha1').update(text).digest('hex') }
}
