/** The only file that reads the process's environment. */
import { readFileSync } from 'node:fs'
import { invalid } from '../base/index.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export const processEnvironment = (): Environment => process.env

/**
 * The value of a variable, for a configuration file: `brokers: env('KAFKA_BROKERS')`. With `NAME_FILE` instead it is the content of that
 * file. A variable that is empty counts as one that is not set; without a fallback that is an error, and the file is not loaded.
 */
export function env(name: string, fallback?: string): string {
  const { [name]: value, [`${name}_FILE`]: file } = processEnvironment()
  if (value !== undefined && value !== '') return value
  if (file !== undefined && file !== '') return readSecret(`${name}_FILE`, file)
  if (fallback !== undefined) return fallback
  throw invalid('config.env_missing', `the variable ${name} is not set`, {
    hint: `Set it: export ${name}=...; for local services: eval "$(lagoa services up --export)"`,
  })
}

/**
 * Settings from variables: `LAGOA_HTTP__PORT=9000` is `http.port`, `LAGOA_DATABASE__URL_FILE=/run/secret` is the content of that file.
 * Answers a nested object of strings with lower-camel keys.
 */
export function settingsFrom(environment: Environment): Record<string, unknown> {
  const settings: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith('LAGOA_') || value === undefined) continue
    const fromFile = name.endsWith('_FILE')
    const path = name.slice('LAGOA_'.length, fromFile ? -'_FILE'.length : undefined).split('__')
    place(settings, path.map(camel), fromFile ? readSecret(name, value) : value)
  }
  return settings
}

/** The variable that sets a setting: `http.port` is `LAGOA_HTTP__PORT`. */
export const variableFor = (path: readonly string[]): string =>
  `LAGOA_${path.map((part) => part.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()).join('__')}`

function place(target: Record<string, unknown>, path: readonly string[], value: string): void {
  const [head = '', ...rest] = path
  if (rest.length === 0) {
    target[head] = value
    return
  }
  const inner = target[head]
  const next: Record<string, unknown> = typeof inner === 'object' && inner !== null ? { ...inner } : {}
  target[head] = next
  place(next, rest, value)
}

function readSecret(name: string, file: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
  } catch (cause) {
    throw invalid('config.secret_file', `${name} names ${file}, which cannot be read`, {
      hint: `Check the path and that this user may read it, or set ${name.slice(0, -'_FILE'.length)} itself.`,
      cause,
    })
  }
}

const camel = (part: string): string => part.toLowerCase().replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
