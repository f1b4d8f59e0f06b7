/** One job, without walls: what its writer is told, whatever the code does. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { missingPython, workbench, type JobAnswer } from '../helpers/python.ts'

const DATA = 'valor,nome\n1,a\n2,b\n3,c\n4,d\n'

describe.skipIf(missingPython !== null)('a job', () => {
  const bench = workbench()
  const run = (code: string, more: object = {}): Promise<JobAnswer> => bench.job({ data: DATA, format: 'csv', code, validate: false, ...more })

  test('does what the document about processing data sets shows', async () => {
    const { answer, encoded } = await run(
      `
import pandas as pd
import numpy as np

def process(df):
    # Adiciona uma nova coluna com a média móvel de uma coluna existente
    df['rolling_mean'] = df['valor'].rolling(window=3).mean()
    
    # Remove linhas com valores nulos
    df = df.dropna()
    
    # Adiciona uma coluna de timestamp
    df['timestamp'] = pd.Timestamp.now()
    
    return df
`,
      { validate: true },
    )
    expect(answer).toMatchObject({ status: 'success', rows: 2, columns: ['valor', 'nome', 'rolling_mean', 'timestamp'], findings: [] })
    expect(Object.keys(answer?.timings ?? {}).sort()).toEqual(['loading', 'running', 'storing', 'validating'])
    expect(encoded?.preview.map((row) => row.slice(0, 3))).toEqual([
      [3, 'c', 2],
      [4, 'd', 3],
    ])
  })

  test('is rejected with its findings before any of it runs', async () => {
    const { answer, log } = await run('import os\nprint("ran")\nopen("x")\ndef process(df):\n    return df\n', { validate: true })
    expect(answer).toMatchObject({ status: 'rejected', message: 'Line 1: os cannot be imported (and 1 more)', line: 1, findings: [{ line: 1 }, { line: 3 }] })
    expect(log).toEqual([])
  })

  test('that fails within pandas is told at its own line, with its own frames alone', async () => {
    const { answer } = await run(
      'import pandas as pd\n\ndef helper(df):\n    return df.merge(\n        df,\n        on="preco",\n    )\n\ndef process(df):\n    return helper(df)\n',
    )
    expect(answer).toMatchObject({ status: 'error', line: 4, message: "KeyError: 'preco'; the data set has the columns 'valor', 'nome'" })
    expect(answer?.traceback).toBe(
      [
        'Traceback (most recent call last):',
        '  File "<process>", line 10, in process',
        '    return helper(df)',
        '  File "<process>", line 4, in helper',
        '    return df.merge(',
        "KeyError: 'preco'",
      ].join('\n'),
    )
  })

  test('that raises one error while it handles another shows both', async () => {
    const { answer } = await run(
      'def process(df):\n    try:\n        1 / 0\n    except ZeroDivisionError as error:\n        raise ValueError("no") from error\n',
    )
    expect(answer).toMatchObject({ status: 'error', line: 5, message: 'ValueError: no' })
    expect(answer?.traceback).toMatch(/ZeroDivisionError: division by zero\n\nThe above exception was the direct cause .*\n\nTraceback[^]*ValueError: no$/)
  })

  test.for<readonly [string, { readonly status: string; readonly line?: number | null; readonly message?: string | RegExp }]>([
    ['def process(df):\n    return (df\n', { status: 'error', line: 2, message: "SyntaxError: '(' was never closed" }],
    ['x = 1\n', { status: 'error', line: null, message: /no function named process/ }],
    ['process = 3\n', { status: 'error', message: /process is no function/ }],
    ['\nasync def process(df):\n    return df\n', { status: 'error', line: 2, message: /process is async/ }],
    ['def process(df):\n    yield df\n', { status: 'error', line: 1, message: /process yields/ }],
    ['def process():\n    return 1\n', { status: 'error', line: 1, message: /must take one argument/ }],
    ['def process(a, b):\n    return a\n', { status: 'error', line: 1, message: /must take one argument/ }],
    ['import nothing_like_it\n', { status: 'error', line: 1, message: /ModuleNotFoundError/ }],
    ['def process(df):\n    raise SystemExit(3)\n', { status: 'error', line: 2, message: /asked to exit/ }],
    ['exit()\n', { status: 'error', line: 1, message: /asked to exit/ }],
    ['def process(df):\n    raise KeyboardInterrupt\n', { status: 'error', line: 2, message: 'KeyboardInterrupt' }],
    ['def process(df):\n    raise BaseException("x")\n', { status: 'error', line: 2, message: 'BaseException: x' }],
    ['def process(df):\n    return process(df)\n', { status: 'error', line: 2, message: /RecursionError/ }],
    ['import numpy as np\ndef process(df):\n    return np.zeros(10**15)\n', { status: 'memory', line: 3, message: /needs more memory than its limit/ }],
    [
      'def process(df):\n    return 1 if (df["valor"].astype("Int64").shift() > 1)[0] else 2\n',
      { status: 'error', line: 2, message: /fill the missing values first/ },
    ],
    ['def process(df):\n    input()\n', { status: 'error', line: 2, message: 'EOFError: EOF when reading a line' }],
  ] as const)('tells what is wrong with: %s', async ([code, { message, ...rest }]) => {
    const { answer } = await run(code)
    expect(answer).toMatchObject(rest)
    expect(answer?.message).toMatch(message ?? /./)
    expect(answer?.traceback ?? '').not.toMatch(/harness|site-packages/)
  })

  test('shows the ends of a deep recursion, not its thousand frames', async () => {
    const { answer } = await run('def process(df):\n    return process(df)\n')
    expect(answer?.traceback).toMatch(/ {2}\.\.\. \d+ more \.\.\./)
    expect(answer?.traceback?.split('\n').length).toBeLessThan(80)
  })

  test.for([
    ['fails', 'raise ValueError("inner")'],
    ['ends the program', 'raise SystemExit'],
    ['is no text', 'return 3'],
    ['is very long', 'return "x" * 10_000_000'],
    ['is not Unicode', 'return "\\ud800"'],
    ['is a text with a text of its own', 'return type("S", (str,), {"__str__": lambda s: s.missing, "__getitem__": lambda s, k: s.missing})("x")'],
  ] as const)('answers also when the text of its error %s', async ([, body]) => {
    const { answer } = await run(`class E(Exception):\n    def __str__(self):\n        ${body}\n    __repr__ = __str__\n\ndef process(df):\n    raise E\n`)
    expect(answer).toMatchObject({ status: 'error', line: 7 })
    expect(answer?.message?.length).toBeLessThan(3_000)
  })

  test('may change its frame in place, take parameters with defaults, and be any callable', async () => {
    expect((await run('def process(df, factor=2):\n    df["valor"] *= factor\n    df.loc[0, "nome"] = "z"\n    return df\n')).rows?.[0]).toEqual({
      valor: 2,
      nome: 'z',
    })
    expect((await run('process = lambda df: df.head(1)\n')).rows).toHaveLength(1)
    expect((await run('class P:\n    def __call__(self, df):\n        return df.tail(1)\nprocess = P()\n')).rows).toHaveLength(1)
  })

  test('sees the same bytes whatever a job before it wrote into its frame', async () => {
    const change = 'def process(df):\n    df.loc[:, "valor"] = 9\n    df["valor"].array[:] = 9\n    return df\n'
    await run(change)
    expect((await run('def process(df):\n    return df\n')).rows?.map(({ valor }) => valor)).toEqual([1, 2, 3, 4])
  })

  test('prints into its log line by line, and its warnings once each', async () => {
    const { log } = await run(
      'import warnings\nimport numpy as np\nimport sys\n\ndef process(df):\n    print("a", 1)\n    print("b\\nc", end="")\n    print("d")\n    for _ in range(3):\n        np.log(np.array([-1.0]))\n    sys.stderr.write("e")\n    return df\n',
    )
    expect(log).toEqual(['a 1', 'b', 'cd', 'RuntimeWarning: invalid value encountered in log (line 10)', 'e'])
  })

  test('prints a line without an end in parts, and text that is not Unicode as it can be shown', async () => {
    const { log } = await run('def process(df):\n    for _ in range(30):\n        print("x" * 1000, end="")\n    print("\\ud800")\n    return df\n')
    expect(log?.map((line) => line.length)).toEqual([8192, 8192, 8192, 30_000 - 3 * 8192 + 6])
  })

  test('draws other random numbers than the job before', async () => {
    const code = 'import numpy as np\nimport random\ndef process(df):\n    return df.head(1).assign(a=np.random.rand(), b=random.random())\n'
    const [first, second] = [await run(code), await run(code)]
    expect(first?.rows?.[0]?.['a']).not.toBe(second?.rows?.[0]?.['a'])
    expect(first?.rows?.[0]?.['b']).not.toBe(second?.rows?.[0]?.['b'])
  })

  test('computes the features of catch22 as the algorithm’s own package does, under both names', async () => {
    const { rows } = await run(
      'import catch22\nimport pycatch22\n\ndef process(df):\n    series = [float((n * 37) % 11) for n in range(200)]\n    a, b = catch22.catch22_all(series), pycatch22.catch22_all(series)\n    import pandas as pd\n    return pd.DataFrame({"name": a["names"], "a": a["values"], "b": b["values"]})\n',
      { validate: true },
    )
    expect(rows).toHaveLength(20)
    expect(rows?.every(({ a, b }) => a === b)).toBe(true)
  })

  test('is written in files that open with their promise', () => {
    for (const name of ['frames', 'harness', 'validator', 'scopes', 'allowed', 'decoding', 'encoding', 'sources', 'kinds', 'environment'])
      expect(readFileSync(join(import.meta.dirname, '..', '..', 'python', `${name}.py`), 'utf8')).toMatch(/^"""[A-Z]/)
  })
})
