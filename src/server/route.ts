/**
 * One route: what it takes, what it answers, who may call it. The same declaration checks requests, makes `/openapi.json`, and names
 * the action and resource that a role will one day need, so no route can forget to.
 */
import type { Context } from 'hono'
import { z } from 'zod'
import { invalid } from '../base/index.ts'
import type { HttpBindings } from '@hono/node-server'

export type Action = 'read' | 'write' | 'run' | 'manage'
export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete'
export type HttpContext = Context<{ Bindings: HttpBindings; Variables: { requestId: string } }>

export interface Route {
  readonly method: Method
  /** With `{name}` for parameters. */
  readonly path: string
  /** The last parameter takes all that is left of the path, slashes included. */
  readonly slashes?: true
  readonly access: { readonly action: Action; readonly resource: string }
  readonly summary: string
  readonly params?: z.ZodObject
  readonly query?: z.ZodObject
  readonly body?: z.ZodType
  /** What a body may be beside JSON, for the documentation. */
  readonly bodyTypes?: readonly string[]
  readonly answer?: z.ZodType
  readonly answerStatus?: number
  readonly handle: (context: HttpContext) => Promise<Response> | Response
}

interface Declaration<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodType, A extends z.ZodType> {
  readonly method: Method
  readonly path: string
  readonly access: { readonly action: Action; readonly resource: string }
  readonly summary: string
  readonly params?: P
  readonly query?: Q
  readonly body?: B
  readonly answer: A
  readonly answerStatus?: 200 | 201 | 202
  readonly handle: (request: {
    readonly params: z.output<P>
    readonly query: z.output<Q>
    readonly body: z.output<B>
    readonly context: HttpContext
  }) => Promise<z.input<A>>
}

/** A route that takes and answers JSON. */
export function jsonRoute<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodType, A extends z.ZodType>(declared: Declaration<P, Q, B, A>): Route {
  const { params, query, body, answerStatus = 200 } = declared
  return {
    ...declared,
    answerStatus,
    async handle(context) {
      const request = {
        params: check(params, context.req.param(), 'the path') as z.output<P>,
        query: check(query, context.req.query(), 'the query') as z.output<Q>,
        body: (body ? check(body, await jsonBody(context), 'the body') : undefined) as z.output<B>,
        context,
      }
      return context.json(await declared.handle(request), answerStatus)
    },
  }
}

/** The path as the router wants it. */
export function routerPath({ path, slashes }: Pick<Route, 'path' | 'slashes'>): string {
  const named = path.replaceAll(/\{(\w+)\}/g, ':$1')
  return slashes ? `${named}{.+}` : named
}

/** Parses by the schema or says which part of the request is wrong. */
export function check<S extends z.ZodType>(schema: S | undefined, value: unknown, where: string): z.output<S> | undefined {
  if (!schema) return undefined
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  const path = issue?.path.map(String).join('.') ?? ''
  throw invalid('http.invalid_request', `${path === '' ? where : `${path} in ${where}`}: ${issue?.message ?? 'not valid'}`, {
    hint: 'See /docs for what this route takes.',
  })
}

async function jsonBody(context: HttpContext): Promise<unknown> {
  try {
    return await context.req.json()
  } catch (cause) {
    throw invalid('http.not_json', 'The body is not JSON', { hint: "Send JSON with the header 'content-type: application/json'.", cause })
  }
}

/** `?limit=` with a default and a most. */
export const limitParam = (most: number, standard: number): z.ZodDefault<z.ZodCoercedNumber> => z.coerce.number().int().min(1).max(most).default(standard)
