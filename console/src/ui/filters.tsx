/** What narrows a list: words to find, one of a few kinds, and the way back when nothing is left. */
import { Link } from '@tanstack/react-router'
import type { Option } from './parts.tsx'
import { Empty } from './states.tsx'
import { useWords } from './words/index.tsx'

/** A field whose label stands in it while it is empty. */
export function Find({ label, value, onChange }: { label: string; value: string | undefined; onChange: (value: string) => void }) {
  return (
    <input
      className="text-input"
      type="search"
      maxLength={300}
      aria-label={label}
      placeholder={label}
      value={value ?? ''}
      onChange={(event) => onChange(event.currentTarget.value)}
    />
  )
}

/** One of these or all of them; what an old address names is shown although it is none of them any more. */
export function Pick<T extends string>({
  label,
  all,
  value,
  options,
  onChange,
}: {
  label: string
  all: string
  value: T | undefined
  options: readonly Option<T>[]
  onChange: (value: T | undefined) => void
}) {
  const isForeign = value !== undefined && !options.some((option) => option.value === value)
  const shown = isForeign ? [...options, { value, label: value }] : options
  return (
    <select
      className="select"
      aria-label={label}
      value={value ?? ''}
      onChange={(event) => onChange(shown.find((option) => option.value === event.currentTarget.value)?.value)}
    >
      <option value="">{all}</option>
      {shown.map((option) => (
        <option key={option.value} value={option.value}>
          {option.label}
        </option>
      ))}
    </select>
  )
}

export const named = (names: readonly string[]): Option<string>[] => [...new Set(names)].map((name) => ({ value: name, label: name }))

/** Nothing is left of a list; `to` is the same without its filters. */
export function NoMatch({ title, to }: { title: string; to: '/flows' | '/lake' | '/runs' | '/streams' | '/workloads' }) {
  const { say } = useWords()
  return (
    <Empty
      title={title}
      actions={
        <Link to={to} className="action-link">
          {say('lake.clear')}
        </Link>
      }
    />
  )
}
