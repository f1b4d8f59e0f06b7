/** What a service keeps in its folder for as long as it has data: ports and secrets, in `settings.json`, readable by this user alone. */
import { randomBytes, randomInt } from 'node:crypto'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { z } from 'zod'
import { errno, invalid, toLagoaError, unavailable } from '../base/index.ts'

export interface Settings {
  readonly file: string
  port(name: string): number
  text(name: string): string
}

const Kept = z.strictObject({ ports: z.record(z.string(), z.number().int().min(1).max(65_535)), texts: z.record(z.string(), z.string().min(1)) })

export interface Wanted {
  readonly ports: readonly string[]
  fresh(): Readonly<Record<string, string>>
}

const settingsFile = (folder: string): string => join(folder, 'settings.json')

/** Null when the service was never started. */
export async function readSettings(folder: string): Promise<Settings | null> {
  const kept = await readKept(folder)
  return kept === null ? null : settingsOf(folder, kept)
}

/** Reads the settings, or makes them. A port that is not in them is chosen anew; a password is not, since the data know the old one. */
export async function makeSettings(folder: string, wanted: Wanted): Promise<Settings> {
  const kept = await readKept(folder)
  const ports = { ...kept?.ports }
  for (const name of wanted.ports) ports[name] ??= await freePort(Object.values(ports))
  const full = { ports, texts: kept?.texts ?? wanted.fresh() }
  if (JSON.stringify(full) !== JSON.stringify(kept)) {
    const file = settingsFile(folder)
    const next = `${file}.${process.pid}`
    await writeFile(next, `${JSON.stringify(full, null, 2)}\n`, { mode: 0o600 })
    await rename(next, file)
  }
  return settingsOf(folder, full)
}

export const secret = (): string => randomBytes(16).toString('hex')

async function readKept(folder: string): Promise<z.output<typeof Kept> | null> {
  const file = settingsFile(folder)
  try {
    return Kept.parse(JSON.parse(await readFile(file, 'utf8')))
  } catch (cause) {
    const code = errno(cause)
    if (code === 'ENOENT' || code === 'ENOTDIR') return null
    if (code !== undefined) throw toLagoaError(cause)
    throw invalid('services.settings', `${file} is not what Lagoa wrote there`, {
      hint: `Mend it, or start the service anew without its data: rm -r ${folder}`,
      cause,
    })
  }
}

function settingsOf(folder: string, { ports, texts }: z.output<typeof Kept>): Settings {
  const found = <T>(value: T | undefined, name: string): T => {
    if (value !== undefined) return value
    throw invalid('services.settings', `${settingsFile(folder)} has no ${name}`, {
      hint: `Put it back, or start the service anew without its data: rm -r ${folder}`,
    })
  }
  return { file: settingsFile(folder), port: (name) => found(ports[name], name), text: (name) => found(texts[name], name) }
}

/** Below the ports that systems give to outgoing connections, so that it is still free after the next start of the machine. */
const PORTS = { least: 20_000, most: 30_000 } as const

async function freePort(except: readonly number[]): Promise<number> {
  for (let tries = 0; tries < 200; tries++) {
    const port = randomInt(PORTS.least, PORTS.most)
    if (!except.includes(port) && (await isFree(port))) return port
  }
  throw unavailable('services.no_port', `No port between ${PORTS.least} and ${PORTS.most} is free on 127.0.0.1`, {
    hint: 'Stop some programs that listen there.',
  })
}

export function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer()
    server.once('error', () => done(false))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => done(true)))
  })
}
