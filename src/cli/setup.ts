/** From flags to a configuration and a logger: what every command starts with. */
import { resolve } from 'node:path'
import { createLog, type Log } from '../base/index.ts'
import { loadConfigFile, processEnvironment, resolveConfig, settingsFrom, type Config } from '../platform/index.ts'
import type { Arguments } from './args.ts'

export async function configFor({ values, positionals }: Arguments, folderArgument: boolean): Promise<Config> {
  const project = resolve(values.project ?? (folderArgument ? positionals[0] : undefined) ?? '.')
  const file = await loadConfigFile(project, values.config)
  const http = { ...(values.port === undefined ? {} : { port: values.port }), ...(values.host === undefined ? {} : { host: values.host }) }
  return resolveConfig(project, [
    { from: values.config ?? 'lagoa.config.ts', values: { ...file?.options } },
    { from: 'the environment', values: settingsFrom(processEnvironment()) },
    { from: 'the flags', values: { ...(values.home === undefined ? {} : { home: resolve(values.home) }), http } },
  ])
}

export function loggerFor(config: Config, { values }: Arguments, quietest: 'info' | 'warn' = 'info'): Log {
  const level = values.verbose ? 'debug' : config.log.level === 'info' ? quietest : config.log.level
  const format = config.log.format === 'auto' ? (process.stderr.isTTY ? 'pretty' : 'json') : config.log.format
  return createLog({ level, format })
}
