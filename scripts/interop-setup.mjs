/**
 * What `npm run test:interop` needs beside the packages: other engines of Delta Lake, and clients of the servers that a project can run on,
 * each in a Python environment of its own below node_modules/.lagoa/interop. Every version is exact, jars are checked by SHA-256. An engine is skipped when it was made before from
 * the same list; a change makes it anew. About 1.4 GB of disk, and a few minutes the first time.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const home = join(root, 'node_modules', '.lagoa', 'interop')

/**
 * `python` is the whole content of an environment, dependencies included, so that nothing is resolved. `jars` land in the environment's
 * `jars` folder, all of which a worker puts on Spark's class path: a connector to an object store is one more line here.
 */
const ENGINES = {
  'delta-rs': {
    python: ['deltalake==1.6.6', 'pyarrow==26.0.1', 'arro3-core==0.9.1', 'Deprecated==1.3.1', 'wrapt==2.5.2', 'typing_extensions==4.16.0'],
    jars: {},
  },
  // What the documents of the examples call: clients of Kafka, Redis, RabbitMQ, S3 and HTTP.
  clients: {
    python: [
      'kafka-python==3.0.12',
      'redis==8.1.0',
      'pika==1.4.4',
      'boto3==1.44.5',
      'requests==2.34.2',
      'pandas==3.1.1',
      'botocore==1.44.5',
      'certifi==2026.10.18',
      'charset-normalizer==3.5.2',
      'idna==3.20',
      'jmespath==1.1.0',
      'numpy==2.4.6',
      'python-dateutil==2.9.0.post0',
      's3transfer==0.19.3',
      'six==1.17.0',
      'urllib3==2.8.0',
    ],
    jars: {},
  },
  'spark-3.5': {
    python: ['pyspark==3.5.9', 'py4j==0.10.9.9'],
    jars: {
      'io.delta:delta-spark_2.12:3.3.3': '4912bf902a1c453aba3bd838ff212dedd357155212f9bb37a6b47d97f2827ebc',
      'io.delta:delta-storage:3.3.3': '45ad193053fd30cebe6d9ab1889873cde39b223a0f210e00ebee8b6642476901',
      // Of the Hadoop that this Spark brings.
      'org.apache.hadoop:hadoop-aws:3.3.4': '53f9ae03c681a30a50aa17524bd9790ab596b28481858e54efd989a826ed3a4a',
      'com.amazonaws:aws-java-sdk-bundle:1.12.262': '873fe7cf495126619997bec21c44de5d992544aea7e632fdc77adb1a0915bae5',
    },
  },
  'spark-4.0': {
    python: ['pyspark==4.0.5', 'py4j==0.10.9.9'],
    jars: {
      'io.delta:delta-spark_2.13:4.0.1': 'a1e76860b19fe1e6b205a4ea7a9099a2f9575d39bb71d49b3e679b299d0efb91',
      'io.delta:delta-storage:4.0.1': 'ecc42c5aaa51c423312d9e4e48aa4a12b34740bf2c37de0e8f279277ec3d12e4',
    },
  },
  // Only for `npm run bench -- flows`: made when it is named, `node scripts/interop-setup.mjs prefect-3`.
  'prefect-3': {
    onlyNamed: true,
    python: [
      'prefect==3.8.8',
      'aiosqlite==0.22.1',
      'alembic==1.20.1',
      'amplitude-analytics==1.3.0',
      'annotated-doc==0.0.7',
      'annotated-types==0.8.0',
      'anyio==4.16.0',
      'apprise==1.13.1',
      'asgi-lifespan==2.1.0',
      'asyncpg==0.32.0',
      'attrs==26.1.0',
      'beartype==0.23.1',
      'burner-redis==0.1.7',
      'cachetools==7.3.2',
      'certifi==2026.10.18',
      'cffi==2.1.1',
      'charset-normalizer==3.5.2',
      'click==8.5.1',
      'cloudpickle==3.1.2',
      'colorama==0.4.6',
      'coolname==5.0.0',
      'cronsim==2.8',
      'cryptography==50.0.2',
      'cyclopts==5.4.0',
      'dateparser==1.5.0',
      'docker==7.2.0',
      'docstring_parser==0.18.0',
      'exceptiongroup==1.3.1',
      'fastapi==0.139.2',
      'fsspec==2026.9.0',
      'graphviz==0.21',
      'greenlet==3.5.6',
      'griffe==2.4.1',
      'griffecli==2.4.1',
      'griffelib==2.4.1',
      'h11==0.16.0',
      'h2==4.4.1',
      'hpack==4.2.0',
      'httpcore==1.0.9',
      'httpx==0.28.1',
      'humanize==4.17.0',
      'hyperframe==6.1.0',
      'idna==3.20',
      'jinja2-humanize-extension==0.4.0',
      'Jinja2==3.1.6',
      'jsonpatch==1.47',
      'jsonpointer==3.12',
      'jsonschema-specifications==2025.9.1',
      'jsonschema==4.26.0',
      'Mako==1.4.3',
      'markdown-it-py==4.3.0',
      'Markdown==3.11.3',
      'MarkupSafe==3.0.4',
      'mdurl==0.1.2',
      'oauthlib==4.0.1',
      'opentelemetry-api==1.45.2',
      'orjson==3.13.0',
      'packaging==26.3',
      'pathspec==1.1.1',
      'pendulum==3.3.0',
      'pluggy==1.7.0',
      'prometheus_client==0.26.0',
      'py-key-value-aio==0.5.0',
      'pycparser==3.12',
      'pydantic-extra-types==2.11.1',
      'pydantic-settings==2.16.3',
      'pydantic==2.14.3',
      'pydantic_core==2.50.4',
      'pydocket==0.27.0',
      'Pygments==2.21.0',
      'python-dateutil==2.9.0.post0',
      'python-dotenv==1.2.4',
      'python-json-logger==4.2.0',
      'python-slugify==9.0.0',
      'pytz==2026.6',
      'PyYAML==6.0.3',
      'readchar==4.2.2',
      'redis==8.1.0',
      'referencing==0.37.0',
      'regex==2026.11.15',
      'requests-oauthlib==2.0.0',
      'requests==2.34.2',
      'rfc3339-validator==0.1.4',
      'rich-rst==2.2.0',
      'rich==15.0.0',
      'rpds-py==2026.9.1',
      'ruamel.yaml.clib==0.2.15',
      'ruamel.yaml==0.19.1',
      'semver==3.1.1',
      'shellingham==1.5.4',
      'six==1.17.0',
      'sniffio==1.3.1',
      'SQLAlchemy==2.1.9',
      'starlette==1.10.0',
      'text-unidecode==1.3',
      'toml==0.10.2',
      'typer==0.29.2',
      'typing-inspection==0.4.5',
      'typing_extensions==4.16.0',
      'tzdata==2026.6',
      'tzlocal==5.4.5',
      'uncalled-for==0.6.1',
      'urllib3==2.8.0',
      'uvicorn==0.54.0',
      'websockets==16.1.1',
    ],
    jars: {},
  },
}

/** Written out, because Debian's Maven would otherwise take whatever plugin it finds newest. */
const COPY_GOAL = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy'

/** The Java releases that both Sparks run on. */
const JAVA = ['17', '21']

/** All that tests need, or those that are named on the command line. */
const named = process.argv.slice(2)
const unknown = named.find((name) => !Object.hasOwn(ENGINES, name))
if (unknown !== undefined) fail(`There is no engine ${unknown}.`, `There are: ${Object.keys(ENGINES).join(', ')}.`)
const absent = Object.entries(ENGINES)
  .filter(([name, { onlyNamed = false }]) => (named.length > 0 ? named.includes(name) : !onlyNamed))
  .filter(([name, engine]) => !isMade(name, engine))
const needsJava = named.length === 0 || named.some((name) => name.startsWith('spark'))
if (needsJava && !JAVA.includes(javaRelease()))
  systemPackage(
    'openjdk-17-jre-headless',
    `The engines need Java ${JAVA.join(' or ')}, ${javaRelease() === '' ? 'there is none' : `this machine has ${javaRelease()}`}.`,
    () => JAVA.includes(javaRelease()),
  )
if (absent.length > 0) {
  if (!answers('python3', ['-c', 'import ensurepip, venv']))
    systemPackage('python3-venv', 'The engines need Python 3 with its venv module.', () => answers('python3', ['-c', 'import ensurepip, venv']))
  if (absent.some(([, { jars }]) => Object.keys(jars).length > 0) && !answers('mvn', ['--version']))
    systemPackage('maven', 'The engines need Maven, which fetches their jars.', () => answers('mvn', ['--version']))
}
absent.forEach(([name, engine], i) => make(name, engine, `${i + 1} of ${absent.length}`))

function make(name, { python, jars }, place) {
  const began = Date.now()
  const folder = join(home, name)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(join(folder, 'jars'), { recursive: true })
  say(`Engine ${name} (${place}): Python environment`)
  run('python3', ['-m', 'venv', folder], 'The message above says what is missing.')
  say(`Engine ${name} (${place}): installing ${python.slice(0, 2).join(', ')}${name.startsWith('spark') ? ' (about 400 MB)' : ''}`)
  run(
    join(folder, 'bin', 'python'),
    ['-m', 'pip', 'install', '--no-deps', '--no-input', '--disable-pip-version-check', ...(process.stderr.isTTY ? [] : ['--quiet']), ...python],
    'Check the network and the free disk space, then run it again.',
  )
  for (const [artifact, sha256] of Object.entries(jars)) {
    say(`Engine ${name} (${place}): fetching ${artifact}`)
    run(
      'mvn',
      ['--batch-mode', '--quiet', COPY_GOAL, `-Dartifact=${artifact}`, `-DoutputDirectory=${join(folder, 'jars')}`],
      'Check the network, then run it again.',
    )
    const [, file, version] = artifact.split(':')
    const found = createHash('sha256')
      .update(readFileSync(join(folder, 'jars', `${file}-${version}.jar`)))
      .digest('hex')
    if (found !== sha256) fail(`${artifact} has the SHA-256 ${found}, not ${sha256}.`, 'It is not the file that these tests were written for; do not use it.')
  }
  writeFileSync(stampOf(name), keyOf({ python, jars }))
  say(`Engine ${name} (${place}): done in ${((Date.now() - began) / 1000).toFixed(0)} s`)
}

function isMade(name, { python, jars }) {
  return existsSync(stampOf(name)) && readFileSync(stampOf(name), 'utf8') === keyOf({ python, jars })
}

function stampOf(name) {
  return join(home, name, 'lagoa-stamp')
}

function keyOf(engine) {
  return createHash('sha256').update(process.arch).update(JSON.stringify(engine)).digest('hex')
}

/** Installed when we may, else the line that does it is printed. */
function systemPackage(name, what, isThere) {
  const line = `apt-get update && apt-get install -y --no-install-recommends ${name}`
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) fail(what, `Run: sudo sh -c '${line}'`)
  say(`Installing ${name}`)
  run('sh', ['-c', `(apt-get -qq update && apt-get -qq -y install --no-install-recommends ${name}) > /dev/null`], `Run by hand: ${line}`, {
    ...process.env,
    DEBIAN_FRONTEND: 'noninteractive',
  })
  if (!isThere()) fail(what, `${name} is installed, but another version comes first in PATH.`)
}

function javaRelease() {
  const java = process.env.JAVA_HOME ? join(process.env.JAVA_HOME, 'bin', 'java') : 'java'
  const { stderr, status } = spawnSync(java, ['-version'], { encoding: 'utf8' })
  return status === 0 ? (/version "(\d+)/.exec(stderr)?.[1] ?? '') : ''
}

function answers(command, args) {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0
}

function run(command, args, hint, environment = process.env) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], env: environment })
  if (error || status !== 0) fail(`${command} ${args[0]} ${error ? error.message : `ended with ${status}`}.`, hint)
}

function say(text) {
  process.stderr.write(`lagoa: ${text}\n`)
}

function fail(what, hint) {
  process.stderr.write(`lagoa: ${what}\n       ${hint}\n`)
  process.exit(1)
}
