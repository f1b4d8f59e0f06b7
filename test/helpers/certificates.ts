/** An authority of one's own and a certificate for 127.0.0.1 that it signed, made by openssl, which not every machine has. */
import { spawnSync } from 'node:child_process'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tempFolder } from './folder.ts'

export const noOpenssl: string | null = spawnSync('openssl', ['version']).status === 0 ? null : 'there is no openssl'

/** Paths of PEM files. */
export interface Certificates {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

/** `names` as openssl writes them: `IP:127.0.0.1,DNS:localhost`; with days below 0 the certificate has expired. */
export function makeCertificates(names: string = 'IP:127.0.0.1', days: number = 2): Certificates {
  const folder = tempFolder()
  // A server that runs as another user reads them.
  chmodSync(folder, 0o755)
  const at = (name: string): string => join(folder, name)
  openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=authority', '-keyout', at('ca-key.pem'), '-out', at('ca.pem'))
  openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=server', '-keyout', at('key.pem'), '-out', at('request.pem'))
  writeFileSync(at('names'), `subjectAltName=${names}\n`)
  const signed = ['-CA', at('ca.pem'), '-CAkey', at('ca-key.pem'), '-CAcreateserial', '-extfile', at('names')]
  openssl('x509', '-req', '-days', String(days), '-in', at('request.pem'), '-out', at('cert.pem'), ...signed)
  return { ca: at('ca.pem'), cert: at('cert.pem'), key: at('key.pem') }
}

function openssl(...args: readonly string[]): void {
  const { status, stderr } = spawnSync('openssl', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`openssl ${args[0]} failed: ${stderr}`)
}
