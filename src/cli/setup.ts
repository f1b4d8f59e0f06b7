/** From flags to a configuration and a logger: what every command starts with. */
import { resolve } from 'node:path'
import { createLog, invalid, type Log } from '../base/index.ts'
import { hidePasswords, loadConfigFile, processEnvironment, resolveConfig, settingsFrom, variableFor, type Config } from '../platform/index.ts'
import type { Arguments } from './args.ts'

export async function configFor({ values, positionals }: Arguments, folderArgument: boolean): Promise<Config> {
  const named = folderArgument ? positionals[0] : undefined
  if (named !== undefined && values.project !== undefined)
    throw invalid('cli.two_folders', `Both ${named} and --project ${values.project} name the project`, { hint: 'Give one of them.' })
  for (const name of ['project', 'config', 'home', 'data'] as const)
    if (values[name] === '') throw invalid('cli.empty', `--${name} is empty`, { hint: `Name a path after --${name}, or leave it out.` })
  const project = resolve(values.project ?? named ?? '.')
  const file = await loadConfigFile(project, values.config)
  const http = { ...(values.port === undefined ? {} : { port: values.port }), ...(values.host === undefined ? {} : { host: values.host }) }
  return resolveConfig(project, [
    { from: values.config ?? 'lagoa.config.ts', values: { ...file?.options } },
    { from: 'the environment', values: settingsFrom(processEnvironment()), spell: variableFor },
    { from: 'the flags', values: { ...(values.home === undefined ? {} : { home: resolve(values.home) }), http }, spell: (path) => `--${path.at(-1)}` },
  ])
}

export function loggerFor(config: Config, { values }: Arguments, quietest: 'info' | 'warn' = 'info'): Log {
  const level = values.verbose ? 'debug' : config.log.level === 'info' ? quietest : config.log.level
  const format = config.log.format === 'auto' ? (process.stderr.isTTY ? 'pretty' : 'json') : config.log.format
  return createLog({ level, format, write: (line) => process.stderr.write(`${hidePasswords(line)}\n`) })
}
