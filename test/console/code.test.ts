import { describe, expect, test } from 'vitest'
import { markedLines, startOfLine } from '../../console/src/features/transforms/code.ts'

const finding = (line: number, col: number, end_line: number, end_col: number) => ({ code: 'x', line, col, end_line, end_col, message: 'm', hint: 'h' })
const marks = (code: string, ...findings: ReturnType<typeof finding>[]): string[] =>
  markedLines(code, findings).map((parts) => parts.map(({ text, finding: of }) => (of === undefined ? text : `[${text}]`)).join(''))

describe('findings are marked where they stand', () => {
  test('in a line, at its ends and over several lines', () => {
    expect(marks('import os\nx = 1', finding(1, 7, 1, 9))).toEqual(['import [os]', 'x = 1'])
    expect(marks('import os\nx = 1', finding(1, 0, 2, 1))).toEqual(['[import os]', '[x] = 1'])
  })
  test('in characters, also behind those that take two units', () => {
    expect(marks('"😀" + open', finding(1, 6, 1, 10))).toEqual(['"😀" + [open]'])
  })
  test('also when they touch, overlap or lie behind the end of the code', () => {
    expect(marks('abcdef', finding(1, 0, 1, 3), finding(1, 2, 1, 5))).toEqual(['[abc][de]f'])
    expect(marks('a', finding(7, 0, 7, 1))).toEqual(['a'])
    expect(marks('', finding(1, 0, 1, 0))).toEqual([''])
  })
})

test('the caret finds the begin of a line', () => {
  expect([1, 2, 3, 9].map((line) => startOfLine('a\nbc\nd', line))).toEqual([0, 2, 5, 6])
})
