/** The configuration of the embedded database: durable, quiet, small. */

export interface ServerFiles {
  readonly socket: string
  readonly hba: string
  /** The user's own settings, which win; null when there is no such file. */
  readonly custom: string | null
}

/** The file is written anew at every start, so that an old home gets the settings of the version that runs it. */
export function serverConfig(files: ServerFiles): string {
  const settings: readonly [name: string, value: string | number][] = [
    // Reachable by this machine's user only: no TCP, a socket in a folder that nobody else may enter.
    ['listen_addresses', ''],
    ['port', 5432],
    ['unix_socket_directories', `"${files.socket.replaceAll('"', '""')}"`],
    ['unix_socket_permissions', '0700'],
    ['hba_file', files.hba],
    ['max_connections', 40],
    ['superuser_reserved_connections', 3],
    // A client that was killed frees its locks soon, also in the middle of a statement.
    ['client_connection_check_interval', '1s'],

    ['fsync', 'on'],
    ['full_page_writes', 'on'],
    ['synchronous_commit', 'on'],

    // Bursts of 1 MB rows: enough WAL kept for reuse that it is rarely allocated anew, and a bound on what a restart replays.
    ['wal_level', 'replica'],
    ['max_wal_senders', 0],
    ['max_replication_slots', 0],
    ['wal_buffers', '16MB'],
    ['min_wal_size', '128MB'],
    ['max_wal_size', '512MB'],
    ['checkpoint_timeout', '10min'],

    ['shared_buffers', '32MB'],
    ['work_mem', '8MB'],
    ['maintenance_work_mem', '32MB'],
    ['huge_pages', 'off'],
    ['jit', 'off'],
    // No process that does nothing: no I/O workers, no parallel query, no logical replication.
    ['io_method', 'sync'],
    ['max_worker_processes', 1],
    ['max_parallel_workers', 0],
    ['max_parallel_workers_per_gather', 0],
    ['max_logical_replication_workers', 0],
    ['autovacuum_max_workers', 1],
    ['autovacuum_worker_slots', 1],

    ['timezone', 'UTC'],
    ['log_timezone', 'UTC'],
    ['lc_messages', 'C'],

    // Starts, stops and crashes, never statements or row values.
    ['log_line_prefix', '%m [%p] '],
    ['log_min_messages', 'log'],
    ['log_min_error_statement', 'panic'],
    ['log_error_verbosity', 'terse'],
    ['log_parameter_max_length', 0],
    ['log_checkpoints', 'off'],
  ]
  const lines = settings.map(([name, value]) => `${name} = ${quoted(value)}`)
  return [
    '# Written by Lagoa at every start. Put your own settings into custom.conf beside this file.',
    ...lines,
    ...(files.custom === null ? [] : [`include = ${quoted(files.custom)}`]),
    '',
  ].join('\n')
}

/** The folder of the socket is the password. */
export const HBA = 'local all all trust\n'

const quoted = (value: string | number): string => `'${String(value).replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
