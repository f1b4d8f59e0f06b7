/** TLS to an engine whose certificate an authority of one's own signed: which authorities count, and what a refused certificate looks like. */
import { readFile } from 'node:fs/promises'
import { rootCertificates } from 'node:tls'
import { errno, invalid } from '../base/index.ts'

/** The authorities that Node trusts and those of a PEM file; `setting` is the name under which the user gave the file. */
export async function authorities(file: string, setting: string): Promise<string[]> {
  const own = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw invalid('storage.ca_file', `${setting} names ${file}, which cannot be read`, { hint: 'Check the path and that this user may read it.', cause })
  })
  if (!own.includes('-----BEGIN CERTIFICATE-----'))
    throw invalid('storage.ca_file', `${setting} names ${file}, which holds no certificate`, {
      hint: 'It must be a PEM file with -----BEGIN CERTIFICATE-----.',
    })
  return [...rootCertificates, own]
}

/** Whether a connection failed because the server's certificate is not to be trusted (codes of OpenSSL and of Node). */
export function isUntrusted(error: unknown): boolean {
  const code = errno(error) ?? ''
  return /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ALTNAME/.test(code)
}

/** Whether a connection failed because one side spoke TLS and the other did not. */
export function isNotTls(error: unknown): boolean {
  const code = errno(error) ?? ''
  return /^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|.*UNKNOWN_PROTOCOL|TLS_ALERT)|^EPROTO$/.test(code)
}
