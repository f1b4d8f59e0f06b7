/** A small file in the format of the Air Quality data set, and what must come of it. */
import { writeFileSync } from 'node:fs'

export interface Reading {
  /** Hours after the first one. */
  readonly hour: number
  readonly co: number
  readonly no2: number
}

export interface Expected {
  readonly rows: number
  readonly coMissing: number
  readonly no2Missing: number
  /** Readings above a limit. */
  readonly matched: number
  /** Runs of readings above a limit, each until the air is clear again. */
  readonly episodes: number
}

const HEADER = 'Date;Time;CO(GT);PT08.S1(CO);NMHC(GT);C6H6(GT);PT08.S2(NMHC);NOx(GT);PT08.S3(NOx);NO2(GT);PT08.S4(NO2);PT08.S5(O3);T;RH;AH;;'
const FIRST = Date.UTC(2004, 2, 10, 18)

/** Readings `from` to `from + count - 1`: mostly clean air, a reading above a limit now and then, some missing. */
export function readings(count: number, from: number = 0): Reading[] {
  return Array.from({ length: count }, (_, i) => {
    const hour = from + i
    const co = hour % 11 === 3 ? -200 : hour % 50 === 20 ? 11.5 : hour % 50 === 21 ? 9.5 : 1 + (hour % 7) / 10
    const no2 = hour % 13 === 5 ? -200 : hour % 70 === 33 ? 250 : 90 + (hour % 40)
    return { hour, co, no2 }
  })
}

export function line({ hour, co, no2 }: Reading): string {
  const at = new Date(FIRST + hour * 3_600_000).toISOString()
  const number = (value: number): string => String(value).replace('.', ',')
  return `${at.slice(8, 10)}/${at.slice(5, 7)}/${at.slice(0, 4)};${at.slice(11, 13)}.00.00;${number(co)};1360;150;11,9;1046;166;1056;${number(no2)};1692;1268;13,6;48,9;0,7578;;`
}

export function writeReadings(path: string, rows: readonly Reading[]): void {
  writeFileSync(path, [HEADER, ...rows.map(line), ...Array.from<string>({ length: 4 }).fill(';;;;;;;;;;;;;;;;'), ''].join('\r\n'))
}

/** Computed here by the words of the rule, apart from the platform's own evaluation. */
export function expected(rows: readonly Reading[]): Expected {
  let matched = 0
  let episodes = 0
  let firing = false
  for (const { co, no2 } of rows) {
    const high = (co !== -200 && co > 10) || (no2 !== -200 && no2 > 200)
    const clear = co !== -200 && no2 !== -200 && co < 9 && no2 < 180
    if (high) matched++
    if (high && !firing) {
      episodes++
      firing = true
    } else if (clear) firing = false
  }
  return {
    rows: rows.length,
    coMissing: rows.filter(({ co }) => co === -200).length,
    no2Missing: rows.filter(({ no2 }) => no2 === -200).length,
    matched,
    episodes,
  }
}
