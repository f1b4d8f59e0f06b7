/** Loaded before a project's tests: in them `lagoa` and `lagoa/testing` are this very package, installed in the project or not. */
import { registerHooks } from 'node:module'

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
const ENTRIES: Readonly<Record<string, string>> = {
  lagoa: new URL(`../index.${extension}`, import.meta.url).href,
  'lagoa/testing': new URL(`./index.${extension}`, import.meta.url).href,
}

registerHooks({
  resolve(specifier, context, next) {
    const url = ENTRIES[specifier]
    return url === undefined ? next(specifier, context) : { url, shortCircuit: true }
  },
})
