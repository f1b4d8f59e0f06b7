/** `defineConfig(...)` and `env(...)`, apart from the configuration's schema so that a project file loads nothing more than it needs. */
import type { ConfigInput } from './config.ts'

export type { ConfigInput }
export { env } from './environment.ts'

/** What `lagoa.config.ts` exports by default. */
export interface ConfigDeclaration {
  readonly kind: 'config'
  readonly options: ConfigInput
}

export function defineConfig(options: ConfigInput): ConfigDeclaration {
  return { kind: 'config', options }
}
