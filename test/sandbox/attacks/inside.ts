/** Ways around the language's own fences, into the protocol, and through what is left for the next job. */
import { attempts, codes, type Attack } from './attack.ts'

const READ = '("<<secret>>").read()'

export const inside: readonly Attack[] = [
  ...attempts('introspection', {
    'subclasses of object': `for c in ().__class__.__base__.__subclasses__():\n    if c.__name__ == "_wrap_close":\n        loot = c.__init__.__globals__["popen"]("cat <<secret>>").read()`,
    'subclasses to FileIO': `def walk(c):\n    for s in type.__subclasses__(c):\n        yield s\n        if s is not type:\n            yield from walk(s)\nloot = next(c for c in walk(object) if c.__name__ == "FileIO")("<<secret>>").readall()`,
    'globals of a function': `loot = pd.read_csv.__globals__["__builtins__"]["open"]${READ}`,
    'builtins of a module': `loot = pd.__builtins__["open"]${READ}`,
    'sys.modules': `loot = pd.io.common.os.sys.modules["builtins"].open${READ}`,
    'getattr by pieces': `loot = getattr(getattr(pd, "__bu" + "iltins__")["op" + "en"]("<<secret>>"), "re" + "ad")()`,
    'a frame of an exception': `try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    loot = e.__traceback__.tb_frame.f_builtins["open"]${READ}`,
    'a frame of a generator': `def g():\n    yield\nloot = g().gi_frame.f_builtins["open"]${READ}`,
    'a frame of a coroutine': `async def c():\n    pass\nx = c()\nloot = x.cr_frame.f_builtins["open"]${READ}\nx.close()`,
    'frames of the harness': `import sys\nf = sys._getframe()\nwhile f:\n    if "out_fd" in f.f_locals:\n        loot = str(f.f_locals)\n    f = f.f_back\nloot = open${READ} + loot`,
    'a closure': `def outer():\n    x = open\n    def inner():\n        return x\n    return inner\nloot = outer().__closure__[0].cell_contents${READ}`,
    'vars of a module': `loot = vars(np)["__builtins__"]["open"]${READ}`,
    'a format string': `loot = "{0.__globals__[__builtins__][open]}".format(pd.read_csv)\nloot = open${READ}`,
    'string.Formatter': `import string\nf, _ = string.Formatter().get_field("0.__globals__[__builtins__][open]", (pd.read_csv,), {})\nloot = f${READ}`,
    'operator.attrgetter': `import operator\nloot = operator.attrgetter("__globals__")(pd.read_csv)["__builtins__"]["open"]${READ}`,
    'a match statement': `match pd.read_csv:\n    case object(__globals__=g):\n        loot = g["__builtins__"]["open"]${READ}`,
    'the garbage collector': `import gc\nloot = next(o for o in gc.get_objects() if isinstance(o, dict) and callable(o.get("open")) and o.get("__name__") == "builtins")["open"]${READ}`,
    inspect: `import inspect\nloot = inspect.builtins.open${READ}`,
    'the code object replaced': `def f():\n    return 1\nf.__code__ = compile("def f():\\n    return open('<<secret>>').read()", "x", "exec").co_consts[0]\nloot = f()`,
    'types.FunctionType': `import types\nloot = types.FunctionType(compile("open('<<secret>>').read()", "x", "eval"), {})()`,
    eval: `loot = eval("open('<<secret>>').read()")`,
    exec: `s = {}\nexec("x = open('<<secret>>').read()", s)\nloot = s["x"]`,
    'a metaclass': `class M(type):\n    def __getattr__(c, n):\n        return open\nclass A(metaclass=M):\n    pass\nloot = A.anything${READ}`,
    'a class cell': `class A:\n    def f(self):\n        return __class__.__init_subclass__.__self__\nloot = A().f().__mro__[-1].__subclasses__()\nloot = open${READ}`,
    'a hostile name': `ｏpen = 1\nloot = eval("ｏｐｅｎ('<<secret>>').read()")`,
  }),
  ...attempts('import', {
    __import__: `loot = __import__("os").popen("cat <<secret>>").read()`,
    importlib: `import importlib\nloot = importlib.import_module("os").popen("cat <<secret>>").read()`,
    'a loader': `import importlib.util\nspec = importlib.util.find_spec("os")\nloot = spec.loader.get_data("<<secret>>")`,
    'numpy.os': `loot = np.lib._utils_impl.os.popen("cat <<secret>>").read()`,
    'pandas.compat.os': `loot = pd.compat._optional.sys.modules["os"].popen("cat <<secret>>").read()`,
    're by internals': `import re\nloot = re.enum.sys.modules["os"].popen("cat <<secret>>").read()`,
    'np.f2py': `import numpy.f2py\nloot = numpy.f2py.os.popen("cat <<secret>>").read()`,
    runpy: `import runpy\nloot = runpy.run_path("<<secret>>")`,
    'a module of the host': `import sys\nsys.path.insert(0, "<<folder>>")\nimport pwned_module\nloot = pwned_module.SECRET`,
    site: `import site\nsite.addsitedir("<<folder>>")\nimport pwned_module\nloot = pwned_module.SECRET`,
    zipimport: `import zipimport\nloot = zipimport.zipimporter("<<secret>>")`,
    cffi: `from _ctypes import dlopen\nloot = dlopen("<<secret>>", 2)`,
  }),
  ...attempts('codec', {
    pickle: `import pickle\nclass R:\n    def __reduce__(self):\n        return (eval, ("open('<<secret>>').read()",))\nloot = pickle.loads(pickle.dumps(R()))`,
    'pickle in a frame': `class R:\n    def __reduce__(self):\n        return (open, ("<<folder>>/pwned", "w"))\nreturn pd.DataFrame({"x": [R(), R()]})`,
    marshal: `import marshal, types\ncode = compile("loot = open('<<secret>>').read()", "x", "exec")\ns = {}\nexec(marshal.loads(marshal.dumps(code)), s)\nloot = s["loot"]`,
    'a codec of its own': `import codecs\ncodecs.register(lambda n: codecs.lookup("utf-8"))\nloot = open${READ}`,
    'json by its internals': `import json\nloot = json.codecs.open${READ}`,
    'an extension type that runs at reading': `import pyarrow as pa\nclass T(pa.ExtensionType):\n    def __init__(self):\n        super().__init__(pa.int64(), "pwned")\n    def __arrow_ext_serialize__(self):\n        return b""\n    @classmethod\n    def __arrow_ext_deserialize__(cls, s, d):\n        open("<<folder>>/pwned", "w")\n        return cls()\npa.register_extension_type(T())\nreturn pd.DataFrame({"x": pd.array(pa.ExtensionArray.from_storage(T(), pa.array([1, 2])), dtype=pd.ArrowDtype(T()))})`,
  }),
  ...codes('protocol', {
    'a report of its own': `import os, json\ndef process(df):\n    for fd in range(3, 64):\n        try:\n            os.pwrite(fd, json.dumps({"status": "success", "rows": 10**9, "columns": ["LIE"], "preview": [["LIE"]], "message": "LIE"}).encode(), 0)\n        except OSError:\n            pass\n    import socket\n    for fd in range(3, 64):\n        try:\n            socket.socket(fileno=fd).send(b"D")\n        except OSError:\n            pass\n    while True:\n        pass\n`,
    'done without a report': `import socket, time\ndef process(df):\n    for fd in range(3, 64):\n        try:\n            socket.socket(fileno=fd).send(b"D")\n        except OSError:\n            pass\n    while True:\n        pass\n`,
    'a fault of ours': `import os\ndef process(df):\n    for fd in range(3, 64):\n        try:\n            os.write(fd, b"Fpwned")\n        except OSError:\n            pass\n    while True:\n        pass\n`,
    'unknown packets': `import os\ndef process(df):\n    for fd in range(3, 64):\n        for n in range(200):\n            try:\n                os.write(fd, os.urandom(64))\n            except OSError:\n                break\n    return df\n`,
    'an endless line': `import os\ndef process(df):\n    for fd in range(3, 64):\n        for n in range(50):\n            try:\n                os.write(fd, b"L" + b"x" * 60_000)\n            except OSError:\n                break\n    return df\n`,
    'a flood of packets': `import os\ndef process(df):\n    while True:\n        for fd in range(3, 64):\n            try:\n                os.write(fd, b"L")\n            except OSError:\n                pass\n`,
    'descriptors sent to the supervisor': `import socket, array, os\ndef process(df):\n    for fd in range(3, 64):\n        try:\n            s = socket.socket(fileno=os.dup(fd))\n            for n in range(100):\n                s.sendmsg([b"Lx"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd] * 50))])\n        except OSError:\n            pass\n    return df\n`,
    'its socket closed': `import os\ndef process(df):\n    os.closerange(0, 64)\n    while True:\n        pass\n`,
    'a job asked of the zygote': `import os, json\ndef process(df):\n    for fd in range(3, 64):\n        try:\n            os.write(fd, json.dumps({"fork": 1}).encode())\n        except OSError:\n            pass\n    return df\n`,
    'the harness replaced': `import sys\ndef process(df):\n    m = sys.modules["harness"]\n    m.run = lambda *a: {"status": "success", "rows": 1, "columns": ["LIE"], "findings": [], "timings": {}}\n    f = sys._getframe()\n    while f:\n        for n in list(f.f_locals):\n            pass\n        f = f.f_back\n    sys.modules["frames"].store = lambda *a: {"rows": 10**9, "columns": ["LIE"]}\n    return df\n`,
    'a result in a report that is no JSON': `import os\ndef process(df):\n    sys = __import__("sys")\n    z = sys.modules["__main__"]\n    z.json.dumps = lambda *a, **k: "[" * 100_000\n    return df\n`,
    'a report with wrong types': `def process(df):\n    sys = __import__("sys")\n    z = sys.modules["__main__"]\n    z.json.dumps = lambda *a, **k: '{"status": "success", "findings": {"LIE": 1}, "line": "LIE", "message": [1]}'\n    return df\n`,
    'a result that is no Arrow': `import os\ndef process(df):\n    sys = __import__("sys")\n    def store(result, out, *rest):\n        os.pwrite(out, b"ARROW1" + os.urandom(10_000) + b"ARROW1", 0)\n        return {"rows": 1, "columns": ["a"]}\n    sys.modules["frames"].store = store\n    return df\n`,
    'a result with huge lengths': `import os\ndef process(df):\n    sys = __import__("sys")\n    frames = sys.modules["frames"]\n    real = frames.store\n    def store(result, out, *rest):\n        answer = real(result, out, *rest)\n        size = os.fstat(out).st_size\n        for place in range(0, size, 64):\n            os.pwrite(out, b"\\xff\\xff\\xff\\x7f", place + 20)\n        return answer\n    frames.store = store\n    return df\n`,
    'a result that changes while it is read': `import os, mmap\ndef process(df):\n    sys = __import__("sys")\n    frames = sys.modules["frames"]\n    real = frames.store\n    def store(result, out, *rest):\n        answer = real(result, out, *rest)\n        m = mmap.mmap(out, 0)\n        os._exit = lambda *a: None\n        import socket\n        for fd in range(3, 64):\n            try:\n                os.write(fd, b"D")\n            except OSError:\n                pass\n        while True:\n            m[8:16] = os.urandom(8)\n    frames.store = store\n    return df\n`,
  }),
  ...codes('exhaustion', {
    'an endless loop': 'def process(df):\n    while True:\n        pass\n',
    'an endless loop in C': 'def process(df):\n    return sum(iter(int, 1))\n',
    'an endless power': 'def process(df):\n    return 9 ** 9 ** 9 ** 9\n',
    'a regular expression without end': 'import re\ndef process(df):\n    re.match(r"(a+)+$", "a" * 60 + "b")\n    return df\n',
    'signals that are ignored':
      'import signal\nfor n in range(1, 65):\n    try:\n        signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass\ndef process(df):\n    while True:\n        pass\n',
    'a loop that catches everything':
      'def process(df):\n    while True:\n        try:\n            while True:\n                pass\n        except BaseException:\n            pass\n',
    'a sleep without end': 'import time\ndef process(df):\n    time.sleep(10_000)\n',
    'a list without end': 'def process(df):\n    x = []\n    while True:\n        x.append("x" * 10_000_000)\n',
    'one large array': 'import numpy as np\ndef process(df):\n    return np.ones(10**11)\n',
    'memory in small pieces':
      'def process(df):\n    x = []\n    while True:\n        try:\n            x.append(bytearray(4096))\n        except MemoryError:\n            pass\n',
    'memory that is shared':
      'import mmap\ndef process(df):\n    m = []\n    while True:\n        m.append(mmap.mmap(-1, 64 << 20))\n        m[-1].write(b"x" * (64 << 20))\n',
    'files in memory':
      'import os\ndef process(df):\n    fds = []\n    while True:\n        fd = os.memfd_create("x")\n        for n in range(64):\n            os.write(fd, b"x" * (1 << 20))\n',
    'a frame that multiplies itself': 'import pandas as pd\ndef process(df):\n    while True:\n        df = pd.concat([df, df])\n',
    'recursion without end': 'import sys\ndef process(df):\n    sys.setrecursionlimit(10**9)\n    def f(n):\n        return f(n + 1) + 1\n    return f(0)\n',
    'recursion in C': 'def process(df):\n    x = []\n    for n in range(10_000_000):\n        x = [x]\n    return str(x)\n',
    'a fork bomb': 'import os\ndef process(df):\n    while True:\n        try:\n            os.fork()\n        except OSError:\n            pass\n',
    'a thread bomb':
      'import threading, time\ndef process(df):\n    n = 0\n    while True:\n        try:\n            threading.Thread(target=time.sleep, args=(1000,)).start()\n        except RuntimeError:\n            n += 1\n            if n > 100:\n                return df\n',
    'every descriptor':
      'import os\ndef process(df):\n    n = 0\n    try:\n        while True:\n            os.dup(0)\n            n += 1\n    except OSError:\n        pass\n    print("got", n)\n    return df\n',
    'a flood of prints': 'def process(df):\n    while True:\n        print("x" * 1000)\n',
    'prints without an end of line': 'def process(df):\n    while True:\n        print("x" * 100_000, end="")\n',
    'a result with too many columns': 'import pandas as pd\ndef process(df):\n    return pd.DataFrame({f"c{n}": [1] for n in range(200_000)})\n',
    'a result that is too large':
      'import numpy as np\nimport pandas as pd\ndef process(df):\n    return pd.DataFrame({"x": np.random.rand(3_000_000), "y": np.random.rand(3_000_000)})\n',
    'text that is deeply nested': 'x = ' + '('.repeat(90) + '1' + ')'.repeat(90) + '\ndef process(df):\n    return eval("(" * 100_000)\n',
    'a compiler bomb': 'def process(df):\n    return compile("-" * 3_000_000 + "1", "x", "eval")\n',
  }),
]

/** Each leaves something in the first job that the second looks for; both are of one tenant. The second must not find `PLANTED`. */
export const planting: readonly (readonly [name: string, plant: string, look: string])[] = [
  ['a file', 'open("/tmp/planted", "w").write("PLANTED")', 'loot = open("/tmp/planted").read()'],
  ['a module', 'import sys\nsys.modules["numpy"].planted = "PLANTED"', 'loot = np.planted'],
  ['a builtin', 'import builtins\nbuiltins.planted = "PLANTED"', 'loot = planted'],
  ['a default of pandas', 'pd.options.display.max_rows = 77', 'loot = "PLANTED" if pd.options.display.max_rows == 77 else ""'],
  ['an environment variable', 'import os\nos.environ["PLANTED"] = "PLANTED"', 'import os\nloot = os.environ["PLANTED"]'],
  [
    'shared memory of System V',
    'import ctypes\nlibc = ctypes.CDLL(None)\nlibc.shmat.restype = ctypes.c_void_p\nn = libc.shmget(77, 4096, 0o1666)\nctypes.memmove(libc.shmat(n, None, 0), b"PLANTED", 7)',
    'import ctypes\nlibc = ctypes.CDLL(None)\nlibc.shmat.restype = ctypes.c_void_p\nn = libc.shmget(77, 4096, 0o666)\nloot = ctypes.string_at(libc.shmat(n, None, 0), 7) if n >= 0 else ""',
  ],
  [
    'a key of the kernel',
    'import ctypes\nlibc = ctypes.CDLL(None)\nloot = libc.syscall(248, b"user", b"planted", b"PLANTED", 7, -4)',
    'import ctypes\nlibc = ctypes.CDLL(None)\nn = libc.syscall(250, 10, -4, b"user", b"planted", 0)\nb = ctypes.create_string_buffer(8)\nlibc.syscall(250, 11, n, b, 7)\nloot = b.value',
  ],
  [
    'a message queue',
    'import ctypes\nlibc = ctypes.CDLL(None)\nn = libc.msgget(77, 0o1666)\nlibc.msgsnd(n, b"\\1" + bytes(7) + b"PLANTED", 7, 0)',
    'import ctypes\nlibc = ctypes.CDLL(None)\nn = libc.msgget(77, 0o666)\nb = ctypes.create_string_buffer(64)\nlibc.msgrcv(n, b, 32, 0, 0o4000)\nloot = b.raw[8:15]',
  ],
  ['the data set', 'df["a"] = -77', 'loot = "PLANTED" if (df["a"] == -77).any() else ""'],
  [
    'the bytes of the data set',
    'import os\nfor fd in range(3, 64):\n    try:\n        os.pwrite(fd, b"PLANTED" * 100, 0)\n    except OSError:\n        pass',
    'import os\nfor fd in range(3, 64):\n    try:\n        loot = loot or ("PLANTED" if b"PLANTED" in os.pread(fd, 4000, 0) else "")\n    except OSError:\n        pass',
  ],
  ['the draw of chance', 'print("DRAW", np.random.rand(), __import__("random").random())', 'print("DRAW", np.random.rand(), __import__("random").random())'],
]
