/** Tools of tasks that use none. */
import type { Tools } from '../../src/flows/index.ts'

export const unused = (): never => {
  throw new Error('no task here uses this')
}

export const tools: Tools = {
  sql: unused,
  keys: { ping: unused, get: unused, set: unused },
  objects: { get: unused, put: unused, list: unused },
  python: unused,
  publish: unused,
  records: unused,
  caughtUp: unused,
  position: unused,
  rule: unused,
  send: unused,
  write: unused,
  ingest: unused,
}
