/** Holds the picture in docs/map.md: which room may import which, and only through its door. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'

const ROOT = resolve(import.meta.dirname, '..')

/** Room -> rooms it may import. A room may always import itself. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  base: [],
  storage: ['base'],
  catalog: ['base'],
  services: ['base', 'storage'],
  lake: ['base', 'storage', 'catalog'],
  sandbox: ['base'],
  query: ['base', 'storage', 'lake'],
  flows: ['base', 'storage'],
  streams: ['base', 'storage', 'catalog'],
  alerts: ['base', 'storage', 'streams', 'catalog'],
  workloads: ['base', 'storage', 'lake', 'query', 'streams', 'flows'],
  processing: ['base', 'storage', 'sandbox'],
  platform: ['base', 'storage', 'sandbox', 'catalog', 'lake', 'query', 'streams', 'flows', 'alerts', 'workloads', 'processing'],
  server: ['base', 'storage', 'catalog', 'lake', 'query', 'streams', 'flows', 'alerts', 'workloads', 'processing', 'platform'],
  lab: ['base', 'flows', 'platform'],
  cli: ['base', 'catalog', 'lake', 'sandbox', 'flows', 'platform', 'server', 'services'],
}

/** Client libraries and the only files that may import them. */
const ADAPTERS: Readonly<Record<string, RegExp>> = {
  pg: /^src\/storage\/records\//,
  '@aws-sdk/client-s3': /^src\/storage\/objects\/s3\/client\.ts$/,
  ioredis: /^src\/storage\/keys\/redis\//,
  amqplib: /^src\/alerts\/queue\/rabbitmq\//,
  '@duckdb/node-api': /^src\/(lake|query)\//,
  '@platformatic/kafka': /^src\/streams\/log\/kafka\//,
  hono: /^src\/server\//,
  '@hono/node-server': /^src\/server\//,
  croner: /^src\/flows\//,
  '@marcbachmann/cel-js': /^src\/alerts\/cel\//,
}

interface Import {
  readonly file: string
  readonly target: string
}

describe('the rooms of src', () => {
  const imports = filesBelow('src').flatMap(importsOf)

  test('import only the rooms below them', () => {
    const wrong = imports.flatMap(({ file, target }) => {
      if (!target.startsWith('.')) return []
      const from = roomOf(file)
      const to = roomOf(relative(ROOT, resolve(ROOT, dirname(file), target)))
      return from === null || to === null || from === to || ALLOWED[from]?.includes(to) ? [] : [`${file} imports ${to}`]
    })
    expect(wrong).toEqual([])
  })

  test('are entered through their index.ts', () => {
    const wrong = imports.flatMap(({ file, target }) => {
      if (!target.startsWith('.')) return []
      const path = relative(ROOT, resolve(ROOT, dirname(file), target))
      const to = roomOf(path)
      // The package's own door names the one file of wiring that a project needs, so that it loads nothing else.
      if (to === null || roomOf(file) === to || path === `src/${to}/index.ts` || (file === 'src/index.ts' && path === 'src/platform/define.ts')) return []
      return [`${file} imports ${path}`]
    })
    expect(wrong).toEqual([])
  })

  test('all stand in the table, and the table names no other', () => {
    const rooms = readdirSync(join(ROOT, 'src'), { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []))
    expect(rooms.sort()).toEqual(Object.keys(ALLOWED).sort())
  })

  test('keep client libraries to their adapters', () => {
    const wrong = imports.flatMap(({ file, target }) => {
      const owner = Object.keys(ADAPTERS).find((name) => target === name || target.startsWith(`${name}/`))
      return owner === undefined || ADAPTERS[owner]?.test(file) ? [] : [`${file} imports ${target}`]
    })
    expect(wrong).toEqual([])
  })

  test('read the environment in one file', () => {
    const readers = filesBelow('src').filter((file) => /process\.env\b/.test(readFileSync(join(ROOT, file), 'utf8')))
    expect(readers).toEqual(['src/platform/environment.ts'])
  })
})

describe('the console', () => {
  const imports = filesBelow('console/src').flatMap(importsOf)

  test('takes nothing but types of the API from the server', () => {
    const wrong = imports.filter(({ file, target }) => {
      const path = relative(ROOT, resolve(ROOT, dirname(file), target))
      return target.startsWith('.') && !path.startsWith('console/src/') && path !== 'src/server/wire.ts'
    })
    expect(wrong).toEqual([])
    const values = filesBelow('console/src').filter((file) => /^import (?!type\b)[^;]*?server\/wire\.ts/m.test(readFileSync(join(ROOT, file), 'utf8')))
    expect(values).toEqual([])
  })

  test('has features that import only app, api and ui', () => {
    const wrong = imports.flatMap(({ file, target }) => {
      const own = /^console\/src\/features\/([^/]+)\//.exec(file)?.[1]
      const other = target.startsWith('.') ? /^console\/src\/features\/([^/]+)/.exec(relative(ROOT, resolve(ROOT, dirname(file), target)))?.[1] : undefined
      return own === undefined || other === undefined || own === other ? [] : [`${file} imports feature ${other}`]
    })
    expect(wrong).toEqual([])
  })
})

function roomOf(path: string): string | null {
  return /^src\/([^/]+)\//.exec(path)?.[1] ?? null
}

function filesBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
    .sort()
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(ROOT, file), 'utf8').replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '')
  const found = text.matchAll(
    /(?:^|\n)\s*(?:import|export)\b[^'"\n]*?(?:\n[^'"]*?)?\bfrom\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]|(?:^|\n)import\s+['"]([^'"]+)['"]/g,
  )
  return [...found].map((match) => ({ file, target: match[1] ?? match[2] ?? match[3] ?? '' }))
}
