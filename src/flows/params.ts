/** Params of a run, held against what the flow says of them. */
import { z } from 'zod'
import { invalid } from '../base/index.ts'
import type { Flow } from './declare.ts'
import type { Json } from './engine/words.ts'
import { asJson } from './json.ts'

/** The params with their defaults; refuses those that do not fit, all at once. */
export function checkedParams({ name, options: { params } }: Flow, given: unknown): Json {
  if (!params) {
    if (typeof given === 'object' && given !== null && Object.keys(given).length > 0)
      throw invalid('flows.params', `Flow ${name} has no params`, { hint: `It was given ${Object.keys(given).join(', ')}.` })
    return {}
  }
  const strict = params instanceof z.ZodObject ? params.strict() : params
  const result = strict.safeParse(given ?? {})
  if (result.success) return asJson(result.data, `Param of flow ${name}`)
  const faults = result.error.issues.map(({ path, message }) => `${path.join('.') || 'params'}: ${message}`)
  throw invalid('flows.params', `The params of flow ${name} do not fit: ${faults.join('; ')}`, { hint: `GET /api/v1/flows/${name} tells what it takes.` })
}

/** As JSON Schema, for forms. */
export function paramsSchema({ options: { params } }: Flow): Json {
  if (!params) return { type: 'object', properties: {}, additionalProperties: false }
  return asJson(JSON.parse(JSON.stringify(z.toJSONSchema(params, { io: 'input', unrepresentable: 'any' }))), 'The schema')
}
