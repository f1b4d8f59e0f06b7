/** The small pieces every screen is made of. */
import type { ReactNode } from 'react'
import { useEffect, useId } from 'react'
import { useRouter } from '@tanstack/react-router'

export type Tone = 'ok' | 'warn' | 'bad' | 'run' | 'off' | 'stop'

/** A state as a shape, so that it reads without colour: tick, triangle, cross, ring with a centre, dashed ring, ring with a bar. */
export function Mark({ tone, label }: { tone: Tone; label?: string }) {
  const named = label === undefined ? { 'aria-hidden': true } : { role: 'img', 'aria-label': label }
  return (
    <svg className="mark" viewBox="0 0 12 12" {...named}>
      {tone === 'ok' && (
        <>
          <circle cx="6" cy="6" r="5.5" fill="var(--okf)" />
          <path d="M3.6 6.2 5.3 7.9 8.5 4.4" stroke="var(--panel)" strokeWidth="1.5" fill="none" strokeLinecap="round" strokeLinejoin="round" />
        </>
      )}
      {tone === 'warn' && (
        <>
          <path d="M6 .9 11.6 11H.4Z" fill="var(--wrf)" strokeLinejoin="round" />
          <path d="M6 4.4v3.1M6 9v.4" stroke="var(--panel)" strokeWidth="1.4" strokeLinecap="round" />
        </>
      )}
      {tone === 'bad' && (
        <>
          <path d="M3.6.5h4.8l3.1 3.1v4.8l-3.1 3.1H3.6L.5 8.4V3.6Z" fill="var(--erf)" />
          <path d="M4.2 4.2 7.8 7.8M7.8 4.2 4.2 7.8" stroke="var(--panel)" strokeWidth="1.5" strokeLinecap="round" />
        </>
      )}
      {tone === 'run' && (
        <>
          <circle cx="6" cy="6" r="4.7" fill="none" stroke="var(--rnf)" strokeWidth="1.6" />
          <circle cx="6" cy="6" r="2" fill="var(--rnf)" />
        </>
      )}
      {tone === 'stop' && (
        <>
          <circle cx="6" cy="6" r="4.9" fill="none" stroke="var(--ink3)" strokeWidth="1.4" />
          <path d="M3.6 6h4.8" stroke="var(--ink3)" strokeWidth="1.6" strokeLinecap="round" />
        </>
      )}
      {tone === 'off' && <circle cx="6" cy="6" r="4.7" fill="none" stroke="var(--ink3)" strokeWidth="1.4" strokeDasharray="2.2 1.7" />}
    </svg>
  )
}

/** Text of a message with its `commands` set as code. */
export function Prose({ children }: { children: string }) {
  return children.split('`').map((part, i) => (i % 2 === 0 ? part : <code key={i}>{part}</code>))
}

export function Tag({ kind, children }: { kind: 'ok' | 'warn' | 'bad' | 'run' | 'plain' | 'bronze' | 'silver' | 'gold'; children: ReactNode }) {
  return <span className={`tag ${kind}`}>{children}</span>
}

export function PageHead({ title, tags, sub, actions }: { title: string; tags?: ReactNode; sub?: ReactNode; actions?: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · Lagoa`
  }, [title])
  return (
    <div className="head">
      <div>
        <div className="titles">
          <h1>{title}</h1>
          {tags}
        </div>
        {sub !== undefined && <div className="sub">{sub}</div>}
      </div>
      {actions !== undefined && <div className="side-actions">{actions}</div>}
    </div>
  )
}

export function Panel({
  title,
  tag,
  right,
  children,
  className,
}: {
  title?: string
  tag?: ReactNode
  right?: ReactNode
  children: ReactNode
  className?: string
}) {
  const id = useId()
  return (
    <section className={className === undefined ? 'panel' : `panel ${className}`} {...(title === undefined ? {} : { 'aria-labelledby': id })}>
      {title !== undefined && (
        <div className="panel-head">
          <h2 id={id}>{title}</h2>
          {tag}
          {right !== undefined && <div className="right">{right}</div>}
        </div>
      )}
      {children}
    </section>
  )
}

export type Option<T extends string> = { readonly value: T; readonly label: string }

/** One of a few, all visible: radio buttons under the skin, so arrow keys and screen readers know it. */
export function Choice<T extends string>({
  label,
  options,
  value,
  onChange,
  stacked = false,
}: {
  label: string
  options: readonly Option<T>[]
  value: T
  onChange: (value: T) => void
  stacked?: boolean
}) {
  const name = useId()
  return (
    <div className={stacked ? 'choice stacked' : 'choice'} role="radiogroup" aria-label={label}>
      {options.map((option) => (
        <label key={option.value}>
          <input type="radio" name={name} checked={option.value === value} onChange={() => onChange(option.value)} />
          {option.label}
        </label>
      ))}
    </div>
  )
}

/** One fact of a line of facts: its name above, what is so below. */
export function Fact({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  )
}

/** A link to a path the server chose, followed inside the console. */
export function PathLink({ href, className, children }: { href: string; className?: string; children: ReactNode }) {
  const router = useRouter()
  return (
    <a
      href={href}
      className={className}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return
        event.preventDefault()
        router.history.push(href)
      }}
    >
      {children}
    </a>
  )
}

/** A line without axes for the shape of a number; at most the last `most` points. */
export function Spark({
  values,
  tone = 'ok',
  width = 84,
  height = 28,
  most = 60,
}: {
  values: readonly number[]
  tone?: 'ok' | 'bad'
  width?: number
  height?: number
  most?: number
}) {
  const shown = values.slice(-most)
  if (shown.length < 2) return null
  const low = Math.min(...shown)
  const high = Math.max(...shown)
  const reach = high - low || 1
  const points = shown.map((value, i) => `${((i / (shown.length - 1)) * width).toFixed(1)},${(height - 3 - ((value - low) / reach) * (height - 6)).toFixed(1)}`)
  return (
    <svg className="spark" width={width} height={height} aria-hidden>
      <path d={`M${points.join('L')}`} fill="none" stroke={tone === 'bad' ? 'var(--er)' : 'var(--c1)'} strokeWidth="1.5" strokeLinejoin="round" />
    </svg>
  )
}

export function Skeleton({ height, width = '100%' }: { height: number; width?: number | string }) {
  return <div className="skeleton" style={{ height, width }} aria-hidden />
}
