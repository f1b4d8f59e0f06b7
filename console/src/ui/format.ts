/** Numbers, sizes, times and field names as a reader of the language expects them. */

export type Format = {
  number(value: number, digits?: number): string
  /** A rate a second: a decimal only where it tells something. */
  rate(value: number): string
  /** Short form of a large count: `4.2M`. */
  count(value: number): string
  bytes(value: number): string
  percent(share: number, digits?: number): string
  /** A length of time in its two largest units: `6d 4h`. */
  duration(ms: number): string
  /** How long something took: `38 ms`, `3.8 s`, and from a minute on in two units. */
  length(ms: number): string
  /** A short length of time with one unit: `38 ms`, `3.8 s`, `4 min`. */
  span(ms: number): string
  ago(then: number, now: number): string
  time(at: number): string
  clock(at: number): string
  dateTime(at: number): string
  compare(a: string, b: string): number
  list(items: readonly string[]): string
}

const cache = new Map<string, Format>()

export function formats(language: string): Format {
  const known = cache.get(language)
  if (known !== undefined) return known
  const made = build(language)
  cache.set(language, made)
  return made
}

const second = 1_000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour

function build(language: string): Format {
  const compact = new Intl.NumberFormat(language, { notation: 'compact', maximumFractionDigits: 1 })
  const plain = new Map<number, Intl.NumberFormat>()
  const digitsFormat = (digits: number): Intl.NumberFormat => {
    const known = plain.get(digits) ?? new Intl.NumberFormat(language, { maximumFractionDigits: digits, minimumFractionDigits: digits })
    plain.set(digits, known)
    return known
  }
  const relative = new Intl.RelativeTimeFormat(language, { numeric: 'always', style: 'narrow' })
  const today = new Intl.RelativeTimeFormat(language, { numeric: 'auto' })
  const time = new Intl.DateTimeFormat(language, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })
  const clock = new Intl.DateTimeFormat(language, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' })
  const dateTime = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' })
  const collator = new Intl.Collator(language, { numeric: true, sensitivity: 'base' })
  const listing = new Intl.ListFormat(language, { type: 'conjunction' })
  const number = (value: number, digits?: number): string => digitsFormat(digits ?? (Number.isInteger(value) ? 0 : Math.abs(value) < 1 ? 3 : 1)).format(value)
  const made: Format = {
    number,
    rate: (value) => number(value, value > 0 && value < 10 ? 1 : 0),
    count: (value) => (Math.abs(value) < 10_000 ? number(value, 0) : compact.format(value)),
    bytes(value) {
      const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']
      const power = Math.min(units.length - 1, value < 1 ? 0 : Math.floor(Math.log10(value) / 3))
      const scaled = value / 1000 ** power
      return `${number(scaled, power === 0 || scaled >= 100 ? 0 : 1)} ${units[power]}`
    },
    percent: (share, digits = 1) =>
      new Intl.NumberFormat(language, { style: 'percent', maximumFractionDigits: digits, minimumFractionDigits: 0 }).format(share),
    duration(ms) {
      const whole = Math.max(0, ms)
      const [large, small] =
        whole >= day
          ? ([
              [day, 'd'],
              [hour, 'h'],
            ] as const)
          : whole >= hour
            ? ([
                [hour, 'h'],
                [minute, 'min'],
              ] as const)
            : whole >= minute
              ? ([
                  [minute, 'min'],
                  [second, 's'],
                ] as const)
              : ([[second, 's']] as const)
      const rest = small === undefined ? 0 : Math.floor((whole % large[0]) / small[0])
      return `${Math.floor(whole / large[0])} ${large[1]}${small === undefined || rest === 0 ? '' : ` ${rest} ${small[1]}`}`
    },
    length: (ms) => (ms < minute ? made.span(ms) : made.duration(ms)),
    span(ms) {
      if (ms < second) return `${number(ms, 0)} ms`
      if (ms < minute) return `${number(ms / second, ms < 10 * second ? 1 : 0)} s`
      if (ms < hour) return `${number(ms / minute, 0)} min`
      if (ms < 2 * day) return `${number(ms / hour, 0)} h`
      return `${number(ms / day, 0)} d`
    },
    ago(then, now) {
      const past = Math.max(0, now - then)
      if (past < 2 * second) return today.format(0, 'second')
      if (past < minute) return relative.format(-Math.floor(past / second), 'second')
      if (past < hour) return relative.format(-Math.floor(past / minute), 'minute')
      if (past < day) return relative.format(-Math.floor(past / hour), 'hour')
      return relative.format(-Math.floor(past / day), 'day')
    },
    time: (at) => time.format(at),
    clock: (at) => clock.format(at),
    dateTime: (at) => dateTime.format(at),
    compare: collator.compare,
    list: (items) => listing.format(items),
  }
  return made
}

/** `mg/m3` as it is printed: `mg/m³`. */
export function unitLabel(unit: string): string {
  return unit
    .replace(/m([23])\b/g, (_, power: string) => (power === '2' ? 'm²' : 'm³'))
    .replace(/\bug\b/g, 'µg')
    .replace(/\bdegC\b/g, '°C')
}

const symbols: Readonly<Record<string, string>> = {
  co: 'CO',
  co2: 'CO₂',
  no: 'NO',
  no2: 'NO₂',
  nox: 'NOₓ',
  so2: 'SO₂',
  o3: 'O₃',
  pm10: 'PM10',
  pm25: 'PM2.5',
  pm2_5: 'PM2.5',
}

/** A field's name as people write it: gases by their formula, others as they are. */
export function fieldLabel(name: string): string {
  return symbols[name.toLowerCase()] ?? name.replaceAll('_', ' ')
}
