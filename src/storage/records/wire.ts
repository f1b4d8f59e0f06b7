/**
 * Statements over `pg` with results in binary. pg decodes every value of a row as UTF-8 text before anyone can ask for bytes,
 * so rows are taken from the socket before its parser sees them; login, TLS, errors and everything else stay with pg.
 */
import { EventEmitter } from 'node:events'
import type { Client, ClientConfig, Connection } from 'pg'
import { type Decoder, decoderFor, encodeValue } from './values.ts'
import type { SqlValue } from './port.ts'

declare module 'pg' {
  interface Connection {
    /** Called once per socket, and once more when the socket became a TLS one. */
    attachListeners(stream: NodeJS.EventEmitter): void
    readonly parsedStatements: Record<string, string | undefined>
    readonly submittedNamedStatements: Record<string, string | undefined>
  }
  interface Client {
    readonly processID: number | null
  }
}

/** Makes `pg.Client` a class whose rows arrive as bytes, for use with Statement only. */
export function binaryClient(Base: typeof Client): typeof Client {
  return class extends Base {
    constructor(config?: string | ClientConfig) {
      super(config)
      // A connection that breaks between two owners (the pool has let go, the borrower does not listen yet) must not end the process;
      // whoever uses it next is told by the query that fails.
      this.on('error', () => undefined)
      const { connection } = this
      const attach = connection.attachListeners.bind(connection)
      connection.attachListeners = (stream) => attach(withoutRows(stream, (row) => connection.emit('dataRow', row)))
    }
  }
}

/** A DataRow message: the bytes after its header. */
interface RowMessage {
  readonly bytes: Buffer
  readonly start: number
}

const HEADER = 5
const DATA_ROW = 0x44

/** Passes the byte stream on without its DataRow messages, which go to `onRow` in their place in the order. */
function withoutRows(stream: NodeJS.EventEmitter, onRow: (row: RowMessage) => void): EventEmitter {
  const rest = new EventEmitter()
  let head: Buffer | null = null // the first bytes of a header that was cut
  let row: Buffer | null = null // a row that is still arriving
  let filled = 0
  let passing = 0 // bytes of a cut message of another kind

  const take = (input: Buffer): void => {
    let chunk = input
    if (head) {
      chunk = Buffer.concat([head, input])
      head = null
    }
    let at = 0
    if (row) {
      const part = Math.min(row.length - filled, chunk.length)
      chunk.copy(row, filled, 0, part)
      filled += part
      at = part
      if (filled < row.length) return
      const whole = row
      row = null
      onRow({ bytes: whole, start: 0 })
    }
    let passFrom = at
    if (passing > 0) {
      const part = Math.min(passing, chunk.length - at)
      passing -= part
      at += part
    }
    const pass = (until: number): void => {
      if (until > passFrom) rest.emit('data', chunk.subarray(passFrom, until))
    }
    while (at < chunk.length && passing === 0) {
      if (chunk.length - at < HEADER) {
        pass(at)
        head = Buffer.from(chunk.subarray(at))
        return
      }
      const size = chunk.readUInt32BE(at + 1) + 1
      const end = at + size
      if (chunk[at] !== DATA_ROW) {
        passing = Math.max(0, end - chunk.length)
        at = Math.min(end, chunk.length)
        continue
      }
      pass(at)
      if (end <= chunk.length) {
        onRow({ bytes: chunk, start: at + HEADER })
      } else {
        row = Buffer.allocUnsafeSlow(size - HEADER)
        filled = chunk.copy(row, 0, at + HEADER)
        return
      }
      at = end
      passFrom = end
    }
    pass(at)
  }

  stream.on('data', take)
  stream.on('end', () => rest.emit('end'))
  return rest
}

export interface StatementResult {
  readonly rows: Record<string, unknown>[]
  /** `INSERT`, `COMMIT`, ... */
  readonly command: string
}

interface RowDescription {
  readonly fields: readonly { readonly name: string; readonly dataTypeID: number }[]
}

/** Prepared under this name by the first transaction of a connection. */
export const BEGIN = 'lagoa_begin'

/** Whether a statement can open a transaction with itself on this connection: what was parsed is not parsed again. */
export const canBegin = ({ connection }: Client): boolean => connection.parsedStatements[BEGIN] !== undefined

/**
 * One statement in pg's queue. With `values` it uses the extended protocol and answers rows; without, the simple protocol,
 * which accepts several commands and whose rows are dropped. With `begins` it opens a transaction in the same round trip.
 */
export class Statement {
  readonly text: string
  readonly name: string
  callback: (error: Error | null, result?: StatementResult) => void
  readonly #values: readonly (string | Buffer | null)[] | null
  readonly #begins: boolean
  readonly #rows: Record<string, unknown>[] = []
  #names: string[] = []
  #decoders: Decoder[] = []
  #failure: Error | null = null
  #command = ''

  constructor(
    text: string,
    values: readonly SqlValue[] | null,
    name: string,
    begins: boolean,
    callback: (error: Error | null, result?: StatementResult) => void,
  ) {
    this.text = text
    this.#begins = begins
    this.name = name
    this.callback = callback
    this.#values = values === null ? null : values.map(encodeValue)
  }

  submit(connection: Connection): Error | null {
    if (this.#values === null) {
      connection.query(this.text)
      return null
    }
    const known = this.name === '' ? undefined : (connection.parsedStatements[this.name] ?? connection.submittedNamedStatements[this.name])
    if (known !== undefined && known !== this.text) return new Error(`Two statements share the name ${this.name}`)
    // Corked, so that the messages leave in one packet.
    connection.stream.cork()
    if (this.#begins) {
      connection.bind({ statement: BEGIN, values: [], binary: 'yes' }, true)
      connection.execute(null, true)
    }
    if (known === undefined) {
      connection.parse({ name: this.name, text: this.text, types: [] }, true)
      if (this.name !== '') connection.submittedNamedStatements[this.name] = this.text
    }
    connection.bind({ statement: this.name, values: [...this.#values], binary: 'yes' }, true)
    connection.describe({ type: 'P' }, true)
    connection.execute(null, true)
    connection.sync()
    connection.stream.uncork()
    return null
  }

  handleRowDescription(message: RowDescription): void {
    if (this.#values === null) return
    try {
      this.#names = message.fields.map((field) => field.name)
      this.#decoders = message.fields.map((field) => decoderFor(field.dataTypeID, field.name))
    } catch (error) {
      this.#fail(error)
    }
  }

  handleDataRow(message: RowMessage): void {
    if (this.#failure || this.#values === null) return
    const { bytes } = message
    const row: Record<string, unknown> = {}
    let at = message.start + 2
    try {
      for (let i = 0; i < this.#decoders.length; i++) {
        const size = bytes.readInt32BE(at)
        at += 4
        row[this.#names[i] ?? ''] = size < 0 ? null : this.#decoders[i]?.(bytes, at, at + size)
        if (size > 0) at += size
      }
      this.#rows.push(row)
    } catch (error) {
      this.#fail(error)
    }
  }

  handleCommandComplete(message: { readonly text: string }): void {
    this.#command = message.text.split(' ', 1)[0] ?? ''
  }

  handleEmptyQuery(): void {}

  handlePortalSuspended(): void {}

  handleCopyInResponse(connection: Connection & { sendCopyFail?(reason: string): void }): void {
    connection.sendCopyFail?.('COPY FROM STDIN is not used here')
  }

  handleCopyData(): void {}

  handleError(error: Error): void {
    this.callback(this.#failure ?? error)
  }

  handleReadyForQuery(): void {
    if (this.#failure) this.callback(this.#failure)
    else this.callback(null, { rows: this.#rows, command: this.#command })
  }

  #fail(error: unknown): void {
    this.#failure = error instanceof Error ? error : new Error(String(error))
  }
}
