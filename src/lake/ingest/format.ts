/** What a file is, by its name and, where that does not tell, by its first bytes. */
import { open } from 'node:fs/promises'
import type { FileFormat } from './declare.ts'

export type Packing = 'gzip' | 'zstd' | null

const BY_ENDING: Readonly<Record<string, FileFormat>> = {
  csv: 'csv',
  tsv: 'csv',
  txt: 'csv',
  json: 'json',
  geojson: 'json',
  ndjson: 'ndjson',
  jsonl: 'ndjson',
  parquet: 'parquet',
  parq: 'parquet',
}

/** The format that a file's name promises; null when it promises none. */
export function formatOf(name: string): FileFormat | null {
  const ending = /\.([a-z]+)$/.exec(name.toLowerCase().replace(/\.(gz|gzip|zst|zstd)$/, ''))?.[1] ?? ''
  return BY_ENDING[ending] ?? null
}

/** By the magic number, which a renamed file keeps. */
export function packingOf(start: Uint8Array): Packing {
  if (start[0] === 0x1f && start[1] === 0x8b) return 'gzip'
  if (start[0] === 0x28 && start[1] === 0xb5 && start[2] === 0x2f && start[3] === 0xfd) return 'zstd'
  return null
}

/** The format of unpacked content whose name does not tell. */
export function formatOfContent(start: Uint8Array): FileFormat {
  const text = Buffer.from(start)
    .toString('latin1')
    .replace(/^\u00ef\u00bb\u00bf/, '')
    .trimStart()
  if (text.startsWith('PAR1')) return 'parquet'
  return text.startsWith('[') || text.startsWith('{') ? 'json' : 'csv'
}

export async function firstBytes(file: string, count: number): Promise<Buffer> {
  const handle = await open(file, 'r')
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(count), 0, count, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}
