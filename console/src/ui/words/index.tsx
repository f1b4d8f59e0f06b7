/** The active language: messages by id, and numbers, sizes and times in the reader's notation. */
import { i18n } from '@lingui/core'
import { I18nProvider, useLingui } from '@lingui/react'
import { type ReactNode, useMemo } from 'react'
import { type Format, formats } from '../format.ts'
import type { en } from './en.ts'
import { compile } from './message.ts'

export type Language = 'en' | 'pt-BR'
type MessageId = keyof typeof en
export type Say = (id: MessageId, values?: Record<string, string | number>) => string

const storageKey = 'lagoa-language'

export function preferredLanguage(): Language {
  let chosen: string | null = null
  try {
    chosen = localStorage.getItem(storageKey)
  } catch {
    // Storage may be blocked; the browser's languages decide then.
  }
  if (chosen === 'en' || chosen === 'pt-BR') return chosen
  return navigator.languages.some((each) => each.toLowerCase().startsWith('pt')) && !navigator.language.toLowerCase().startsWith('en') ? 'pt-BR' : 'en'
}

/** Loads the language's catalogue, then shows it; on failure the language before it stays. */
export async function showLanguage(language: Language): Promise<void> {
  const catalogue = language === 'en' ? (await import('./en.ts')).en : (await import('./pt-BR.ts')).ptBR
  i18n.load(language, compile(catalogue))
  i18n.activate(language)
  document.documentElement.lang = language
  try {
    localStorage.setItem(storageKey, language)
  } catch {
    // The choice then lasts as long as the page.
  }
}

export function Words({ children }: { children: ReactNode }) {
  return <I18nProvider i18n={i18n}>{children}</I18nProvider>
}

export function useWords(): { say: Say; format: Format; language: Language } {
  const { i18n: active } = useLingui()
  const language: Language = active.locale === 'pt-BR' ? 'pt-BR' : 'en'
  return useMemo(() => ({ say: (id, values) => active._(id, values), format: formats(language), language }), [active, language])
}
