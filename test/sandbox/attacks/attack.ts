/**
 * An attack is a code with an effect that a test can see from outside when it works: a line of the host's secret file in what comes back, a
 * connection at a socket that listens on the host, a file on the host, a process that remains, a marker that one job left for the next.
 * Words in double angle brackets are filled in by the test: the paths, ports and process numbers of the host.
 */
export interface Attack {
  readonly name: string
  readonly code: string
}

/** Attacks whose body leaves what it got in `loot`, which then is the result. Errors of the attempt are part of what comes back. */
export function attempts(family: string, bodies: Readonly<Record<string, string>>): Attack[] {
  return Object.entries(bodies).map(([name, body]) => ({ name: `${family}: ${name}`, code: looting(body) }))
}

/** Attacks that are whole codes. */
export function codes(family: string, whole: Readonly<Record<string, string>>): Attack[] {
  return Object.entries(whole).map(([name, code]) => ({ name: `${family}: ${name}`, code }))
}

function looting(body: string): string {
  const lines = body.trim().split('\n')
  return [
    'import pandas as pd',
    'import numpy as np',
    'def process(df):',
    '    loot = ""',
    '    try:',
    ...lines.map((line) => `        ${line}`),
    '    except Exception as error:',
    '        loot = repr(error)',
    '    return pd.DataFrame({"loot": [str(loot)[:4000]]})',
    '',
  ].join('\n')
}
