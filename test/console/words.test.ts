import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setupI18n } from '@lingui/core'
import { describe, expect, it } from 'vitest'
import { en } from '../../console/src/ui/words/en.ts'
import { compile, type Message } from '../../console/src/ui/words/message.ts'
import { ptBR } from '../../console/src/ui/words/pt-BR.ts'

const catalogues: Readonly<Record<string, Readonly<Record<string, Message>>>> = { en, 'pt-BR': ptBR }
const sources = join(import.meta.dirname, '../../console/src')

function code(): string {
  return readdirSync(sources, { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.tsx?$/.test(file) && !file.includes('words'))
    .map((file) => readFileSync(join(sources, file), 'utf8'))
    .join('\n')
}

function texts(message: Message | undefined): string[] {
  return message === undefined ? [] : typeof message === 'string' ? [message] : [message.one, message.other]
}

const variables = (message: Message | undefined): string[] =>
  [
    ...new Set([
      ...texts(message).flatMap((text) => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? '')),
      ...(typeof message === 'object' ? [message.by] : []),
    ]),
  ].toSorted()

describe('the catalogues', () => {
  it('have the same ids in both languages', () => {
    expect(Object.keys(ptBR).toSorted()).toEqual(Object.keys(en).toSorted())
  })

  it('take the same values in both languages', () => {
    for (const [id, message] of Object.entries(catalogues['en'] ?? {})) expect(variables(catalogues['pt-BR']?.[id]), id).toEqual(variables(message))
  })

  it('leave no text empty', () => {
    for (const catalogue of Object.values(catalogues))
      for (const [id, message] of Object.entries(catalogue)) for (const text of texts(message)) expect(text.trim(), id).not.toBe('')
  })

  it('hold every id the screens say, and none that no screen says', () => {
    const written = code()
    const literal = new Set([...written.matchAll(/'([a-z][a-zA-Z]*(?:\.[a-zA-Z0-9_]+)+)'/g)].map((match) => match[1] ?? ''))
    const patterns = [...written.matchAll(/`([a-z][a-zA-Z.]*\.)\$\{[^}`]*\}([a-zA-Z.]*)`/g)].map((match) => [match[1] ?? '', match[2] ?? ''] as const)
    const built = (id: string): boolean =>
      patterns.some(([before, after]) => id.startsWith(before) && id.endsWith(after) && id.length > before.length + after.length)
    const unused = Object.keys(en).filter((id) => !literal.has(id) && !built(id))
    expect(unused).toEqual([])
    const said = [...written.matchAll(/\bsay\(\s*'([^']+)'/g)].map((match) => match[1] ?? '')
    expect(said.length).toBeGreaterThan(100)
    expect(said.filter((id) => !Object.hasOwn(en, id))).toEqual([])
  })
})

describe('a compiled message', () => {
  const spoken = (locale: string, catalogue: Readonly<Record<string, Message>>) => {
    const i18n = setupI18n({ locale, messages: { [locale]: compile(catalogue) } })
    return (id: string, values: Record<string, string | number>) => i18n._(id, values)
  }

  it('takes its values and chooses the plural of its language', () => {
    const say = spoken('en', en)
    expect(say('live.reporting', { n: 11, of: 12 })).toBe('11 of 12 stations reporting')
    expect(say('situation.firing', { n: 1 })).toBe('One alert is firing.')
    expect(say('situation.firing', { n: 2 })).toBe('2 alerts are firing.')
    expect(say('history.rows', { n: 1200, rows: '1,200' })).toBe('1,200 rows')
  })

  it('writes numbers as the language does', () => {
    expect(spoken('pt-BR', ptBR)('preview.rows', { n: 1200 })).toBe('Primeiras 1.200 linhas')
  })
})
