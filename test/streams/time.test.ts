import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseDate, parseTimestamp } from '../../src/streams/time.ts'

const instant = fc.date({ min: new Date('0001-01-01T00:00:00Z'), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true })
const two = (n: number): string => String(n).padStart(2, '0')

describe('a timestamp', () => {
  it('is what Date makes of it, in every zone and with every number of digits', () => {
    const zone = fc.tuple(fc.constantFrom('+', '-'), fc.nat(23), fc.nat(59)).map(([sign, hours, minutes]) => `${sign}${two(hours)}:${two(minutes)}`)
    fc.assert(
      fc.property(instant, fc.oneof(fc.constant('Z'), zone), fc.constantFrom(16, 19, 21, 22, 23), (date, offset, length) => {
        const text = date.toISOString().slice(0, length) + offset
        expect(parseTimestamp(text)).toBe(Date.parse(text))
      }),
    )
  })

  it('keeps microseconds in the fraction and cuts what is finer', () => {
    fc.assert(
      fc.property(instant, fc.nat(999_999), fc.string({ unit: fc.constantFrom(...'0123456789'), maxLength: 6 }), (date, micros, finer) => {
        const second = date.toISOString().slice(0, 19)
        expect(parseTimestamp(`${second}.${String(micros).padStart(6, '0')}${finer}Z`)).toBe(Date.parse(`${second}Z`) + micros / 1000)
      }),
    )
    expect(parseTimestamp('2026-01-31T12:00:00.5Z')).toBe(Date.UTC(2026, 0, 31, 12, 0, 0, 500))
  })

  it('takes the short and the loose forms of RFC 3339', () => {
    const noon = Date.UTC(2026, 0, 31, 12)
    for (const text of [
      '2026-01-31T12:00Z',
      '2026-01-31t12:00:00z',
      '2026-01-31 12:00:00+00:00',
      '2026-01-31T13:00:00+01',
      '2026-01-31T13:00:00+0100',
      '2026-01-31T12:00:00-00:00',
    ])
      expect(parseTimestamp(text)).toBe(noon)
  })

  it('is refused when it is anything else', () => {
    const wrong = [
      '',
      'now',
      '2026',
      '2026-01-31',
      '2026-01-31T12:00:00',
      '2026-02-29T12:00:00Z',
      '2026-13-01T00:00:00Z',
      '2026-00-01T00:00:00Z',
      '2026-01-00T00:00:00Z',
      '2026-04-31T00:00:00Z',
      '2026-01-31T24:00:00Z',
      '2026-01-31T12:60:00Z',
      '2026-01-31T12:00:60Z',
      '2026-01-31T12:00:00.Z',
      '2026-01-31T12:00:00,5Z',
      '2026-01-31T12:00:00Z ',
      ' 2026-01-31T12:00:00Z',
      '2026-01-31T12:00:00+24:00',
      '2026-01-31T12:00:00+01:60',
      '2026-01-31T12:00:00+1',
      '2026-01-31T12:00:00+01:0',
      '2026-1-31T12:00:00Z',
      '2026-01-31X12:00:00Z',
      '2026-01-31T12:00:0Z',
      '0000-01-01T00:00:00Z',
      '+002026-01-31T12:00:00Z',
      '2026-01-31T12:00:00ZZ',
      '２026-01-31T12:00:00Z',
      '2026-01-31T1٢:00:00Z',
      '20260131T120000Z',
      '2026-01-31T12:00:00.123 Z',
      '1900-02-29T00:00:00Z',
    ]
    for (const text of wrong) expect(`${text}: ${parseTimestamp(text)}`).toBe(`${text}: NaN`)
  })

  it('is never read out of a text that Date refuses, but for its loose forms', () => {
    const piece = fc.constantFrom('2026', '0099', '-', '01', '31', '30', '29', '02', '12', 'T', ':', '.', '5', 'Z', '+', '24', '60', '00')
    const nearly = fc.oneof(
      fc.array(piece, { maxLength: 14 }).map((pieces) => pieces.join('')),
      fc.tuple(instant, fc.nat(24), piece).map(([date, at, mess]) => date.toISOString().slice(0, at) + mess + date.toISOString().slice(at + mess.length)),
    )
    fc.assert(
      fc.property(nearly, (text) => {
        const found = parseTimestamp(text)
        if (Number.isNaN(found)) return
        const strict = text.replace(' ', 'T').replace(/([+-]\d\d)(\d\d)?$/, (_, hours: string, minutes: string | undefined) => `${hours}:${minutes ?? '00'}`)
        expect(Math.floor(found)).toBe(Date.parse(strict))
      }),
      { numRuns: 2000 },
    )
  })
})

describe('a date', () => {
  it('is the number of days since 1970', () => {
    fc.assert(
      fc.property(instant, (date) => {
        expect(parseDate(date.toISOString().slice(0, 10))).toBe(Math.floor(date.getTime() / 86_400_000))
      }),
    )
  })

  it('is refused when there is no such day, or anything around it', () => {
    for (const text of [
      '',
      '2026-02-29',
      '1900-02-29',
      '2026-04-31',
      '2026-13-01',
      '2026-1-1',
      '2026-01-01 ',
      '2026-01-01T00:00:00Z',
      '26-01-01',
      '0000-01-01',
      '2026/01/01',
    ])
      expect(`${text}: ${parseDate(text)}`).toBe(`${text}: NaN`)
    expect(parseDate('2024-02-29')).toBe(19_782)
    expect(parseDate('2000-02-29')).toBe(11_016)
  })
})
