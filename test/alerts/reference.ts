/** Conditions worked out one row at a time, straight from the syntax tree: slow and plain, to hold the real evaluator against. */
import { Environment, type ASTNode } from '@marcbachmann/cel-js'
import { emptyRows, type Rows, type Schema } from '../../src/base/index.ts'

/** null is unknown. A number is whole when its type in the schema or its literal is. */
type Value =
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'int' | 'double' | 'time' | 'date'; readonly value: number }
  | { readonly type: 'string'; readonly value: string }
type Known = Value | null

export type Row = Readonly<Record<string, number | string | boolean | null>>

const environment = new Environment({ unlistedVariablesAreDyn: true, homogeneousAggregateLiterals: false })

export function referenceResult(text: string, schema: Schema, row: Row): 0 | 1 | 2 {
  const result = value(environment.parse(text).ast, schema, row)
  if (result === null) return 2
  return result.value === true ? 1 : 0
}

function value(node: ASTNode, schema: Schema, row: Row): Known {
  switch (node.op) {
    case 'value':
      if (typeof node.args === 'bigint') return { type: 'int', value: Number(node.args) }
      if (typeof node.args === 'number') return { type: 'double', value: node.args }
      if (typeof node.args === 'string') return { type: 'string', value: node.args }
      if (typeof node.args === 'boolean') return { type: 'bool', value: node.args }
      throw new Error('unexpected literal')
    case 'id':
      return fieldValue(node.args, schema, row)
    case '==':
    case '!=': {
      const [a, b] = node.args
      if (b.op === 'value' && b.args === null) return bool((value(a, schema, row) === null) === (node.op === '=='))
      return both(value(a, schema, row), value(b, schema, row), (x, y) => bool((x === y) === (node.op === '==')))
    }
    case '<':
      return both(value(node.args[0], schema, row), value(node.args[1], schema, row), (x, y) => bool(x < y))
    case '<=':
      return both(value(node.args[0], schema, row), value(node.args[1], schema, row), (x, y) => bool(x <= y))
    case '>':
      return both(value(node.args[0], schema, row), value(node.args[1], schema, row), (x, y) => bool(x > y))
    case '>=':
      return both(value(node.args[0], schema, row), value(node.args[1], schema, row), (x, y) => bool(x >= y))
    case '&&': {
      const [x, y] = [value(node.args[0], schema, row), value(node.args[1], schema, row)]
      if (x?.value === false || y?.value === false) return bool(false)
      return x === null || y === null ? null : bool(true)
    }
    case '||': {
      const [x, y] = [value(node.args[0], schema, row), value(node.args[1], schema, row)]
      if (x?.value === true || y?.value === true) return bool(true)
      return x === null || y === null ? null : bool(false)
    }
    case '!_': {
      const x = value(node.args, schema, row)
      return x === null ? null : bool(x.value !== true)
    }
    case '-_': {
      const x = value(node.args, schema, row)
      return x === null || typeof x.value !== 'number' || (x.type !== 'int' && x.type !== 'double') ? null : { type: x.type, value: -x.value }
    }
    case '+':
    case '-':
    case '*':
    case '/':
    case '%':
      return calculated(node.op, value(node.args[0], schema, row), value(node.args[1], schema, row))
    case '?:': {
      const [condition, then, otherwise] = [value(node.args[0], schema, row), value(node.args[1], schema, row), value(node.args[2], schema, row)]
      if (condition?.value === true) return then
      if (condition?.value === false) return otherwise
      return then !== null && otherwise !== null && then.value === otherwise.value ? then : null
    }
    case 'in': {
      const [a, b] = node.args
      const x = value(a, schema, row)
      if (x === null || b.op !== 'list') return null
      return bool(b.args.some((item) => value(item, schema, row)?.value === x.value))
    }
    case 'call':
      if (node.args[0] === 'timestamp') {
        const argument = node.args[1][0]
        return argument?.op === 'value' && typeof argument.args === 'string' ? { type: 'time', value: new Date(argument.args).getTime() } : null
      }
      return sizeOf(node.args[1][0], schema, row)
    case 'rcall': {
      const [name, receiver, args] = node.args
      if (name === 'size') return sizeOf(receiver, schema, row)
      const x = value(receiver, schema, row)
      const y = args[0] === undefined ? null : value(args[0], schema, row)
      if (x === null || y === null || typeof x.value !== 'string' || typeof y.value !== 'string') return null
      if (name === 'contains') return bool(x.value.split(y.value).length > 1 || y.value === '')
      if (name === 'startsWith') return bool(x.value.slice(0, y.value.length) === y.value)
      if (name === 'endsWith') return bool(y.value === '' || x.value.slice(-y.value.length) === y.value)
      return bool(new RegExp(y.value, 'u').test(x.value))
    }
    default:
      throw new Error(`unexpected ${node.op}`)
  }
}

function sizeOf(node: ASTNode | undefined, schema: Schema, row: Row): Known {
  const x = node === undefined ? null : value(node, schema, row)
  return x === null || typeof x.value !== 'string' ? null : { type: 'int', value: [...x.value].length }
}

function fieldValue(name: string, schema: Schema, row: Row): Known {
  const field = schema[name]
  const given = row[name]
  if (field === undefined || given === null || given === undefined) return null
  if (typeof given !== 'boolean' && field.missingValues.includes(given)) return null
  if (typeof given === 'boolean') return bool(given)
  if (typeof given === 'string') return { type: 'string', value: given }
  const type = field.type === 'int' || field.type === 'long' ? 'int' : field.type === 'timestamp' ? 'time' : field.type === 'date' ? 'date' : 'double'
  return { type, value: given }
}

function bool(of: boolean): Value {
  return { type: 'bool', value: of }
}

function both(a: Known, b: Known, result: (x: number | string | boolean, y: number | string | boolean) => Value): Known {
  if (a === null || b === null) return null
  if (a.type === 'date' && b.type === 'string') return result(a.value, Date.parse(b.value) / 86_400_000)
  return result(a.value, b.value)
}

function calculated(sign: '+' | '-' | '*' | '/' | '%', a: Known, b: Known): Known {
  if (a === null || b === null || typeof a.value !== 'number' || typeof b.value !== 'number') return null
  const whole = a.type === 'int' && b.type === 'int'
  const raw = { '+': a.value + b.value, '-': a.value - b.value, '*': a.value * b.value, '/': a.value / b.value, '%': a.value % b.value }[sign]
  if (!Number.isFinite(raw)) return null
  return { type: whole ? 'int' : 'double', value: whole && sign === '/' ? Math.trunc(raw) : raw }
}

/** Plain rows by column. */
export function rowsOf(schema: Schema, given: readonly Row[]): Rows {
  const rows = emptyRows(schema, given.length)
  for (const column of rows.columns) {
    given.forEach((row, i) => {
      const cell = row[column.name] ?? null
      if (cell === null) return
      if (column.kind === 'text') column.values[i] = String(cell)
      else {
        column.values[i] = Number(cell)
        column.valid[i] = 1
      }
    })
  }
  return rows
}
