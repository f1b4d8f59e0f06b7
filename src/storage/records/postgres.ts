/** Records on any PostgreSQL, the embedded one or a server: a pool of connections, transactions with retry, sessions and notices. */
import type { Client, ClientConfig, Pool, PoolClient } from 'pg'
import { backoff, bug, invalid, LagoaError, type Log, systemClock, unavailable, unsupported } from '../../base/index.ts'
import { serverAddress } from './address.ts'
import { recordsFault, sqlState } from './faults.ts'
import { openListener } from './listener.ts'
import type { Queryable, Records, RecordsSession, SqlValue } from './port.ts'
import { BEGIN, binaryClient, canBegin, Statement, type StatementResult } from './wire.ts'

/** `postgresql://user:password@host:port/database?sslmode=require`, or the parts; a host that starts with `/` is a socket folder. */
export type PostgresConnection =
  | string
  | { readonly host: string; readonly port: number; readonly user: string; readonly database: string; readonly password?: string }

export interface RecordsOptions {
  readonly connection: PostgresConnection
  /** The most connections of the pool; each session and the listener have one more. Default 10. */
  readonly max?: number
  readonly log: Log
}

/** What every connection of Lagoa calls itself in `pg_stat_activity`. */
export const APPLICATION_NAME = 'lagoa'

const OLDEST_SERVER = 150_000
const CONNECT_TIMEOUT_MS = 10_000
const TRANSACTION_ATTEMPTS = 5
const RETRIED_STATES: ReadonlySet<string> = new Set(['40001', '40P01'])

/** Connects once, so that a wrong address or an old server is reported here. */
export async function openRecords(options: RecordsOptions): Promise<Records> {
  const pg = await import('pg')
  const BinaryClient = binaryClient(pg.Client)
  const config = await clientConfig(options.connection)
  try {
    // Only the driver knows whether it can read an address; its own error would show the password.
    new BinaryClient(config)
  } catch {
    throw invalid('storage.database_url', 'LAGOA_DATABASE__URL is no address of a database', {
      hint: 'Write it as postgresql://user:password@host:5432/database. In a password, write / as %2F, @ as %40, # as %23 and % as %25.',
    })
  }
  const pool = new pg.Pool({ ...config, Client: BinaryClient, max: options.max ?? 10, idleTimeoutMillis: 30_000 })
  // Without a listener an idle connection that breaks would end the process; the pool replaces it by itself.
  pool.on('error', (error) => options.log.warn('records.connection_lost', { reason: recordsFault(error).message }))
  const records = new PostgresRecords(pool, () => new BinaryClient(config), options.log)
  try {
    await checkServer(records, options.log)
  } catch (error) {
    await records.close()
    throw error
  }
  return records
}

async function clientConfig(connection: PostgresConnection): Promise<ClientConfig> {
  const address = typeof connection === 'string' ? await serverAddress(connection) : null
  return {
    ...(typeof connection === 'string' ? {} : connection),
    ...(address === null ? {} : { connectionString: address.url, ssl: address.ssl }),
    application_name: APPLICATION_NAME,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    // Days and hours are cut in UTC everywhere, whatever the server's own setting.
    options: `${address?.options ?? ''} -c timezone=UTC`.trim(),
  }
}

async function checkServer(records: Records, log: Log): Promise<void> {
  const [server] = await records.query<{ version: string; fsync: string; commit: string }>(
    `select current_setting('server_version_num') as version, current_setting('fsync') as fsync, current_setting('synchronous_commit') as commit`,
  )
  if (!server || Number(server.version) < OLDEST_SERVER) {
    throw unsupported('storage.old_server', `The database server is PostgreSQL ${Math.floor(Number(server?.version ?? 0) / 10_000)}; Lagoa needs 15 or newer`, {
      hint: 'Set LAGOA_DATABASE__URL to a newer server.',
    })
  }
  if (server.fsync === 'off' || server.commit === 'off') log.warn('records.not_durable', { fsync: server.fsync, synchronousCommit: server.commit })
}

class PostgresRecords implements Records {
  readonly #pool: Pool
  readonly #newClient: () => Client
  readonly #log: Log
  readonly #listener: ReturnType<typeof openListener>
  #closing: Promise<void> | null = null

  constructor(pool: Pool, newClient: () => Client, log: Log) {
    this.#pool = pool
    this.#newClient = newClient
    this.#log = log
    this.#listener = openListener(() => this.session(), log)
  }

  async query<R extends object = Record<string, unknown>>(text: string, values: readonly SqlValue[] = [], options?: { readonly name?: string }): Promise<R[]> {
    return this.#withClient((client) => rowsOf<R>(client, text, values, options?.name))
  }

  async script(text: string): Promise<void> {
    await this.#withClient((client) => runStatement(client, text, null))
  }

  async transaction<T>(body: (tx: Queryable) => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#withClient((client) => runTransaction(client, body))
      } catch (error) {
        const state = sqlState(error)
        if (state === undefined || !RETRIED_STATES.has(state) || attempt + 1 >= TRANSACTION_ATTEMPTS) throw error
        this.#log.debug('records.transaction_retry', { state, attempt: attempt + 1 })
        await systemClock.sleep(backoff(attempt, 5, 200))
      }
    }
  }

  async listen(channel: string, onNotice: (payload: string) => void): Promise<() => Promise<void>> {
    this.#refuseWhenClosed()
    return this.#listener.listen(channel, onNotice)
  }

  async session(): Promise<PostgresSession> {
    this.#refuseWhenClosed()
    const client = this.#newClient()
    const session = new PostgresSession(client)
    try {
      await client.connect()
    } catch (error) {
      await client.end().catch(() => undefined)
      throw recordsFault(error)
    }
    return session
  }

  close(): Promise<void> {
    this.#closing ??= this.#listener.close().finally(() => this.#pool.end())
    return this.#closing
  }

  async #withClient<T>(use: (client: PoolClient) => Promise<T>): Promise<T> {
    this.#refuseWhenClosed()
    const client = await this.#pool.connect().catch((error: unknown) => {
      throw poolFault(error)
    })
    let lost = false
    const onError = (): void => {
      lost = true
    }
    client.on('error', onError)
    try {
      return await use(client)
    } catch (error) {
      // The server's farewell arrives before the socket closes; prepared statements of an older table shape stay broken.
      if (error instanceof LagoaError && (error.code === 'storage.database_away' || error.code === 'storage.table_changed')) lost = true
      throw error
    } finally {
      client.removeListener('error', onError)
      // A connection inside an unfinished transaction must not be handed to the next caller.
      client.release(lost || (client.getTransactionStatus() ?? 'I') !== 'I')
    }
  }

  #refuseWhenClosed(): void {
    if (this.#closing) throw unavailable('storage.closed', 'The connection to the database was closed by this process')
  }
}

function poolFault(error: unknown): Error {
  if (error instanceof Error && error.message.startsWith('timeout exceeded when trying to connect')) {
    return unavailable('storage.database_busy', `No connection to the database became free within ${CONNECT_TIMEOUT_MS / 1000} s`, {
      hint: 'Raise database.max, or look for long transactions: lagoa doctor',
      cause: error,
    })
  }
  return recordsFault(error)
}

async function rowsOf<R extends object>(client: Client, text: string, values: readonly SqlValue[], name?: string): Promise<R[]> {
  const { rows } = await runStatement(client, text, values, name)
  return typed<R>(rows)
}

/** The caller states the shape of the rows that its own SQL gives; nothing could check it at run time. */
function typed<R extends object>(rows: object[]): R[] {
  const isShaped = (some: object[]): some is R[] => Array.isArray(some)
  return isShaped(rows) ? rows : []
}

async function runTransaction<T>(client: PoolClient, body: (tx: Queryable) => Promise<T>): Promise<T> {
  let over = false
  /** The first statement opens the transaction with itself where it can; the others wait for that. */
  let begun: Promise<unknown> | null = null
  const refuseWhenOver = (): void => {
    if (over) throw bug('storage.transaction_over', 'A statement was sent to a transaction that had ended')
  }
  const tx: Queryable = {
    query: async <R extends object>(text: string, values: readonly SqlValue[] = [], options?: { readonly name?: string }) => {
      refuseWhenOver()
      const begins = begun === null && canBegin(client)
      if (begins) begun = Promise.resolve()
      else await (begun ??= runStatement(client, 'begin', [], BEGIN))
      const { rows } = await runStatement(client, text, values, options?.name, begins)
      return typed<R>(rows)
    },
    script: async (text) => {
      refuseWhenOver()
      await (begun ??= runStatement(client, 'begin', [], BEGIN))
      await runStatement(client, text, null)
    },
  }
  try {
    const result = await body(tx)
    over = true
    if (begun === null) return result
    const { command } = await runStatement(client, 'commit', null)
    // The server answers ROLLBACK to a commit when a statement had failed and the body went on regardless.
    if (command !== 'COMMIT') throw bug('storage.failed_transaction', 'A transaction was to commit although one of its statements had failed')
    return result
  } catch (error) {
    over = true
    // What the client knows of its state is of the answer before: a first statement that failed has opened a transaction nevertheless.
    if (begun !== null) await runStatement(client, 'rollback', null).catch(() => undefined)
    throw error
  }
}

class PostgresSession implements RecordsSession {
  readonly client: Client
  #closed = false
  #lost = false
  #onLost: (() => void)[] = []

  constructor(client: Client) {
    this.client = client
    const lost = (): void => {
      if (this.#closed || this.#lost) return
      this.#lost = true
      for (const callback of this.#onLost.splice(0)) callback()
    }
    client.on('error', lost)
    client.on('end', lost)
  }

  async query<R extends object = Record<string, unknown>>(text: string, values: readonly SqlValue[] = [], options?: { readonly name?: string }): Promise<R[]> {
    return rowsOf<R>(this.client, text, values, options?.name)
  }

  async script(text: string): Promise<void> {
    await runStatement(this.client, text, null)
  }

  onLost(callback: () => void): void {
    if (this.#lost) queueMicrotask(callback)
    else this.#onLost.push(callback)
  }

  onNotice(callback: (channel: string, payload: string) => void): void {
    this.client.on('notification', (notice) => callback(notice.channel, notice.payload ?? ''))
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.client.end().catch(() => undefined)
  }
}

/** The last statement of each client: pg wants one at a time, callers may send several at once. */
const lastStatement = new WeakMap<Client, Promise<unknown>>()

/** Runs one statement; several for one client wait for each other in order. */
function runStatement(client: Client, text: string, values: readonly SqlValue[] | null, name: string = '', begins: boolean = false): Promise<StatementResult> {
  const run = (): Promise<StatementResult> =>
    new Promise<StatementResult>((resolve, reject) => {
      client.query(new Statement(text, values, name, begins, (error, result) => (error || !result ? reject(error ?? new Error('no result')) : resolve(result))))
    })
  const before = lastStatement.get(client)
  const mine = (before ? before.then(run, run) : run()).catch((error: unknown) => {
    throw recordsFault(error)
  })
  lastStatement.set(client, mine)
  const done = (): void => {
    if (lastStatement.get(client) === mine) lastStatement.delete(client)
  }
  mine.then(done, done)
  return mine
}
