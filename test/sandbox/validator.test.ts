/** What the validator says of code that reaches for what a job has not, where it says it, and what it leaves alone. */
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { missingPython, workbench } from '../helpers/python.ts'

/** `^` below a line marks what the finding above it must cover: `line` is the marked text of `code`. */
const refused: readonly (readonly [code: string, covered: string, statement: string])[] = [
  ['import.not_allowed', 'os', 'import os'],
  ['import.not_allowed', 'os.path as p', 'import os.path as p'],
  ['import.not_allowed', 'sys', 'import numpy as np, sys'],
  ['import.not_allowed', 'from subprocess import run', 'from subprocess import run'],
  ['import.not_allowed', 'from . import x', 'from . import x'],
  ['import.not_allowed', 'load', 'from numpy import array, load'],
  ['import.not_allowed', 'numpy.f2py', 'import numpy.f2py'],
  ['import.not_allowed', 'from numpy.ctypeslib import load_library', 'from numpy.ctypeslib import load_library'],
  ['import.not_allowed', 'from pandas.io.common import get_handle', 'from pandas.io.common import get_handle'],
  ['import.not_allowed', 'enum', 'from re import enum'],
  ['import.star', '*', 'from math import *'],
  ['name.not_allowed', 'open', 'open("/etc/passwd")'],
  ['name.not_allowed', 'eval', 'x = "á"; eval("1")'],
  ['name.not_allowed', '__import__', '__import__("os")'],
  ['name.not_allowed', 'globals', 'globals()["x"]'],
  ['name.not_allowed', 'exec', 'list(map(exec, ["1"]))'],
  ['name.not_allowed', '__builtins__', '__builtins__["open"]'],
  ['name.not_allowed', '__loader__', '__loader__'],
  ['name.not_allowed', 'type("T", (), {})', 'type("T", (), {})'],
  ['name.not_allowed', 'open', 'if False:\n    open = 1\nopen("/x")'],
  ['name.not_allowed', 'open', 'open = 1\ndel open\nopen("/x")'],
  ['name.not_allowed', 'open', 'class A:\n    if False:\n        open = 1\n    x = open("/x")'],
  ['attribute.not_allowed', 'load', 'np.load("x")'],
  ['attribute.not_allowed', 'read_csv', 'pd.read_csv("x")'],
  ['attribute.not_allowed', 'io', 'pd.io.common'],
  ['attribute.not_allowed', 'memmap', 'np.memmap("x")'],
  ['attribute.not_allowed', 'as_strided', 'np.lib.stride_tricks.as_strided(1)'],
  ['attribute.not_allowed', 'functools', 'import re\nre.functools'],
  ['attribute.not_allowed', 'nan', 'np.nan = 3'],
  ['attribute.not_allowed', '__class__', '().__class__'],
  ['attribute.not_allowed', '__globals__', '(lambda: 0).__globals__'],
  ['attribute.not_allowed', 'gi_frame', '(i for i in [1]).gi_frame'],
  ['attribute.not_allowed', 'tb_frame', 'try:\n    1 / 0\nexcept Exception as e:\n    e.with_traceback.tb_frame'],
  ['attribute.not_allowed', 'f_globals', 'x = 1\nx.f_globals'],
  ['attribute.not_allowed', 'ctypes', 'np.zeros(3).ctypes'],
  ['attribute.not_allowed', '_mgr', 'pd.DataFrame()._mgr'],
  ['attribute.not_allowed', '"__class__"', 'getattr(1, "__class__")'],
  ['attribute.not_allowed', 'object(__class__=c)', 'match 1:\n    case object(__class__=c):\n        pass'],
  ['attribute.not_allowed', '__class__', 'f"{(1).__class__}"'],
  ['attribute.not_literal', 'getattr(1, "re" + "al")', 'getattr(1, "re" + "al")'],
  ['module.as_value', 'np', 'x = np'],
  ['module.as_value', 'np', 'getattr(np, "load")'],
  ['module.as_value', 'random', 'x = np.random'],
  ['file.not_allowed', 'to_csv', 'pd.DataFrame().to_csv("x.csv")'],
  ['file.not_allowed', 'to_json', 'pd.DataFrame().to_json(path_or_buf="x")'],
  ['file.not_allowed', 'to_csv', 'save = pd.DataFrame().to_csv'],
  ['file.not_allowed', 'to_csv', 'pd.DataFrame().to_csv(*["x"])'],
  ['file.not_allowed', 'to_parquet', 'pd.DataFrame().to_parquet()'],
  ['file.not_allowed', 'tofile', 'np.zeros(3).tofile("x")'],
  ['file.not_allowed', 'dump', 'np.zeros(3).dump("x")'],
  ['file.not_allowed', '"to_pickle"', 'pd.DataFrame().agg("to_pickle", path="x")'],
  ['file.not_allowed', '"to_csv"', 'pd.DataFrame().agg({"a": ["sum", "to_csv"]})'],
  ['format.attribute', 'format', '"{0.__class__}".format(1)'],
  ['format.attribute', 'format', '"{:{0.__class__}}".format(1)'],
  ['format.attribute', 'format', 'list(map("{.__class__}".format, [1]))'],
  ['format.not_literal', 'format', 't = "{}" + ""\nt.format(1)'],
  ['format.not_literal', 'format', 'str.format("{0.__class__}", 1)'],
  ['format.not_literal', 'format_map', 'x = input_text = "a"\nx.format_map({})'],
  ['expression.not_allowed', '"@np.load(\'x\')"', 'pd.DataFrame().query("@np.load(\'x\')")'],
  ['expression.not_allowed', '"a.__class__"', 'pd.DataFrame().eval("a.__class__")'],
  ['expression.not_allowed', '"@open(1)"', 'pd.eval("@open(1)")'],
  ['expression.not_allowed', 'f"a > {1} and @pd.read_csv(1)"', 'pd.DataFrame().query(f"a > {1} and @pd.read_csv(1)")'],
  ['expression.not_allowed', '"a" + ".__class__"', 'pd.DataFrame().query("a" + ".__class__")'],
  ['option.not_allowed', 'pd.set_option("plotting.backend", "os")', 'pd.set_option("plotting.backend", "os")'],
]

const HEAD = 'import numpy as np\nimport pandas as pd\n'
const TAIL = '\ndef process(df):\n    return df\n'

describe.skipIf(missingPython !== null)('the validator', () => {
  const bench = workbench()

  test.for(refused)('answers %s at %s in: %s', async ([code, covered, statement]) => {
    const text = `${HEAD}${statement}${TAIL}`
    const findings = await bench.check(text)
    expect(findings.map((found) => found.code)).toContain(code)
    const found = findings.find((finding) => finding.code === code)
    const line = text.split('\n')[(found?.line ?? 0) - 1] ?? ''
    expect(found?.end_line).toBe(found?.line)
    expect([...line].slice(found?.col, found?.end_col).join('')).toBe(covered)
    expect(found?.message).not.toBe('')
  })

  test('tells all findings in the order of the code, with what to write instead', async () => {
    const findings = await bench.check('import os\nimport pandas as pd\ndef process(df):\n    other = pd.read_csv("x")\n    df.to_csv("y")\n    return df\n')
    expect(findings.map(({ code, line, hint }) => [code, line, hint])).toEqual([
      ['import.not_allowed', 1, 'A job sees no files and no environment. Read the data set that process(df) gets.'],
      ['attribute.not_allowed', 4, 'Read the data set that process(df) gets.'],
      ['file.not_allowed', 5, 'Return the DataFrame: what process(df) returns is saved as Parquet. Without a file it gives text.'],
    ])
  })

  test('guesses what a mistyped name meant', async () => {
    const findings = await bench.check(`import panda\nimport pandas as pd\npd.concatt([])${TAIL}`)
    expect(findings.map(({ hint }) => hint)).toEqual(['Did you mean pandas?', 'Did you mean pandas.concat?'])
  })

  test('wants a function process that can be called with one DataFrame', async () => {
    const codes = async (text: string): Promise<unknown> => (await bench.check(text)).map(({ code, line, col, end_col }) => [code, line, col, end_col])
    expect(await codes('x = 1')).toEqual([['process.missing', 1, 0, 5]])
    expect(await codes('')).toEqual([['process.missing', 1, 0, 0]])
    expect(await codes('async def process(df): return df')).toEqual([['process.async', 1, 10, 17]])
    expect(await codes('def process(): pass')).toEqual([['process.parameters', 1, 4, 11]])
    expect(await codes('def process(df, other): pass')).toEqual([['process.parameters', 1, 4, 11]])
    expect(await codes('def process(df, *, other): pass')).toEqual([['process.parameters', 1, 4, 11]])
    for (const fine of [
      'def process(df, n=3): return df',
      'def process(*a): return a[0]',
      'process = lambda df: df',
      'if True:\n    def process(df): return df',
    ])
      expect(await codes(fine)).toEqual([])
  })

  test('tells where the text is no Python', async () => {
    const place = async (text: string): Promise<unknown> => (await bench.check(text)).map(({ code, line, col }) => [code, line, col])
    expect(await place('def process(df):\n    return (df\n')).toEqual([['syntax', 2, 11]])
    expect(await place('def process(df):\nreturn df')).toEqual([['syntax', 2, 0]])
    expect(await place('x = 1\0')).toEqual([['syntax', 1, 0]])
    expect(await place(`x = ${'('.repeat(300)}`)).toEqual([['syntax', 1, expect.any(Number)]])
    expect(await place(`x = ${'-'.repeat(5_000)}1`)).toEqual([['syntax', 1, 0]])
  })

  test('counts columns in characters', async () => {
    expect(await bench.check(`é = "😀"; eval("1")${TAIL}`)).toMatchObject([{ line: 1, col: 9, end_col: 13 }])
  })

  test('leaves columns, variables and methods of any honest name alone', async () => {
    const honest = `
open = 3
print(open)
class Scaler:
    def __init__(self, values):
        super().__init__()
        self._mean = values.mean()
def process(df):
    input, eval, dir = df["input"], df.eval("open > 3"), df.open
    total = df.source + df.info + df.data + df.format + df.query + df.load + df.system
    names = [open for open in df.columns]
    df["kind"] = df["a"].map(lambda v: type(v).__name__)
    df["shown"] = df["a"].map("{:.2f}".format)
    text = df.to_csv(index=False) + df.to_json(orient="records")
    for row in df.itertuples():
        row._asdict(), row._1, row.Index
    limit = 3
    return df.query("a > @limit and open == 1 and \`unit price\` < 2").agg({"a": ["mean", "sum"]})
`
    expect(await bench.check(honest)).toEqual([])
  })

  test('takes a few milliseconds for a hundred lines', async () => {
    const line = "    df['a'] = df['b'].rolling(3).mean().fillna(0) + np.sqrt(df['c'])\n"
    const code = `${HEAD}def process(df):\n${line.repeat(96)}    return df\n`
    // Of processor time, on a machine that has others to serve.
    expect(await bench.step('check_speed', { code }, z.number())).toBeLessThan(20)
  })

  test('stops at a hundred findings and at half a million characters', async () => {
    expect(await bench.check(`${'open(1)\n'.repeat(300)}`)).toHaveLength(100)
    expect(await bench.check('#'.repeat(500_001))).toMatchObject([{ code: 'code.too_long' }])
  })

  test('knows what there is: no allowed name is a module that has no list of its own', async () => {
    expect(await bench.step('doors', {}, z.array(z.string()))).toEqual([])
  })
})
