/**
 * The address of a database server as libpq reads it (PostgreSQL documentation, section 34.1.2), where the driver reads it otherwise: what
 * `sslmode` and `sslrootcert` promise, and settings that Lagoa needs beside those of the address.
 */
import { isIP } from 'node:net'
import { checkServerIdentity, type ConnectionOptions } from 'node:tls'
import { invalid } from '../../base/index.ts'
import { pemFile } from '../tls.ts'

export interface ServerAddress {
  /** Without what is below, which would win over it in the driver. */
  readonly url: string
  readonly ssl: false | ConnectionOptions
  /** More of the server's settings, as in `-c statement_timeout=60s`. */
  readonly options: string
}

const SSL_PARAMETERS = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'ssl', 'uselibpqcompat'] as const
const MODES: ReadonlySet<string> = new Set(['disable', 'require', 'verify-ca', 'verify-full'])

/** Files are read here; a path that does not work out is told by name, never with the address. */
export async function serverAddress(given: string): Promise<ServerAddress> {
  const cut = given.indexOf('?')
  const base = cut < 0 ? given : given.slice(0, cut)
  const parameters = new URLSearchParams(cut < 0 ? '' : given.slice(cut + 1))
  const options = parameters.get('options') ?? ''
  const ssl = await sslOf(parameters, hostOf(base, parameters))
  for (const name of [...SSL_PARAMETERS, 'options', 'application_name']) parameters.delete(name)
  return { url: parameters.size === 0 ? base : `${base}?${parameters.toString()}`, ssl, options }
}

/** As libpq documents the modes, but that without `sslmode` there is no TLS, and that no file is looked for in the user's home. */
async function sslOf(parameters: URLSearchParams, host: string): Promise<false | ConnectionOptions> {
  const root = parameters.get('sslrootcert')
  const mode = parameters.get('sslmode') ?? (root === 'system' ? 'verify-full' : root === null ? 'disable' : 'verify-ca')
  if (!MODES.has(mode))
    throw invalid('storage.database_url', `sslmode=${mode} in LAGOA_DATABASE__URL is not supported`, {
      hint: 'Write sslmode=verify-full, verify-ca, require or disable.',
    })
  if (mode === 'disable') return false
  if (root === 'system' && mode !== 'verify-full')
    throw invalid('storage.database_url', `sslrootcert=system asks for sslmode=verify-full, not ${mode}`, { hint: 'Anybody can have a public certificate.' })
  const verified = mode !== 'require' || root !== null
  const [cert, key] = [parameters.get('sslcert'), parameters.get('sslkey')]
  return {
    rejectUnauthorized: verified,
    // The driver leaves out the name where the host is a number.
    checkServerIdentity: mode === 'verify-full' ? (_, certificate) => checkServerIdentity(host, certificate) : () => undefined,
    ...(root === null || root === 'system' ? {} : { ca: await pemFile(root, 'sslrootcert in LAGOA_DATABASE__URL', 'certificate') }),
    ...(cert === null ? {} : { cert: await pemFile(cert, 'sslcert in LAGOA_DATABASE__URL', 'certificate') }),
    ...(key === null ? {} : { key: await pemFile(key, 'sslkey in LAGOA_DATABASE__URL', 'private key') }),
    ...(isIP(host) === 0 && host !== '' ? { servername: host } : {}),
  }
}

function hostOf(base: string, parameters: URLSearchParams): string {
  const named = parameters.get('host')
  if (named !== null) return named
  return URL.canParse(base) ? new URL(base).hostname.replace(/^\[|\]$/g, '') : ''
}
