/** Fast, strict readers for the two time formats of the schema: RFC 3339 instants and calendar days. */

/** Days since 1970-01-01 of a proleptic Gregorian date (H. Hinnant, "chrono-compatible low-level date algorithms"). */
function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1
  return era * 146_097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719_468
}

/** `YYYY-MM-DD` as days since 1970-01-01; NaN for anything else, also for days that do not exist. */
export function parseDate(text: string): number {
  return text.length === 10 ? civil(text) : Number.NaN
}

/** `YYYY-MM-DDTHH:MM[:SS[.f]](Z|+HH:MM)` as epoch milliseconds, microseconds in the fraction; NaN for anything else. A zone is required. */
export function parseTimestamp(text: string): number {
  const days = civil(text)
  const separator = text.charCodeAt(10)
  if (Number.isNaN(days) || (separator !== T && separator !== SMALL_T && separator !== SPACE) || text.charCodeAt(13) !== COLON) return Number.NaN
  const hour = digits(text, 11, 2)
  const minute = digits(text, 14, 2)
  let at = 16
  let second = 0
  let micros = 0
  if (text.charCodeAt(at) === COLON) {
    second = digits(text, at + 1, 2)
    at += 3
    if (text.charCodeAt(at) === DOT) {
      let scale = 100_000
      const start = ++at
      for (let digit = text.charCodeAt(at) - ZERO; digit >= 0 && digit <= 9; digit = text.charCodeAt(++at) - ZERO) {
        micros += digit * Math.floor(scale)
        scale /= 10
      }
      if (at === start) return Number.NaN
    }
  }
  const offset = zoneMinutes(text, at)
  // NaN fails every comparison, so an unread part ends here too.
  if (!(hour <= 23 && minute <= 59 && second <= 59) || Number.isNaN(offset)) return Number.NaN
  return days * 86_400_000 + (hour * 60 + minute - offset) * 60_000 + second * 1000 + micros / 1000
}

function zoneMinutes(text: string, at: number): number {
  const sign = text.charCodeAt(at)
  if (sign === Z || sign === SMALL_Z) return text.length === at + 1 ? 0 : Number.NaN
  if (sign !== PLUS && sign !== MINUS) return Number.NaN
  const colon = text.charCodeAt(at + 3) === COLON ? 1 : 0
  const hours = digits(text, at + 1, 2)
  const minutes = text.length === at + 3 ? 0 : digits(text, at + 3 + colon, 2)
  const end = text.length === at + 3 ? at + 3 : at + 5 + colon
  if (text.length !== end || !(hours <= 23 && minutes <= 59)) return Number.NaN
  return (sign === MINUS ? -1 : 1) * (hours * 60 + minutes)
}

function civil(text: string): number {
  const year = digits(text, 0, 4)
  const month = digits(text, 5, 2)
  const day = digits(text, 8, 2)
  if (text.charCodeAt(4) !== MINUS || text.charCodeAt(7) !== MINUS) return Number.NaN
  if (!(year >= 1 && month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month))) return Number.NaN
  return daysFromCivil(year, month, day)
}

function daysIn(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

function digits(text: string, at: number, count: number): number {
  let value = 0
  for (let i = at; i < at + count; i++) {
    const digit = text.charCodeAt(i) - ZERO
    if (!(digit >= 0 && digit <= 9)) return Number.NaN
    value = value * 10 + digit
  }
  return value
}

const ZERO = 48
const COLON = 58
const DOT = 46
const PLUS = 43
const MINUS = 45
const SPACE = 32
const T = 84
const SMALL_T = 116
const Z = 90
const SMALL_Z = 122
