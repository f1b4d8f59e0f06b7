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
}

/** Written out, because Debian's Maven would otherwise take whatever plugin it finds newest. */
const COPY_GOAL = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy'

/** The Java releases that both Sparks run on. */
const JAVA = ['17', '21']

const absent = Object.entries(ENGINES).filter(([name, engine]) => !isMade(name, engine))
if (!JAVA.includes(javaRelease()))
  systemPackage(
    'openjdk-17-jre-headless',
    `The engines need Java ${JAVA.join(' or ')}, ${javaRelease() === '' ? 'there is none' : `this machine has ${javaRelease()}`}.`,
    () => JAVA.includes(javaRelease()),
  )
if (absent.length > 0) {
  if (!answers('python3', ['-c', 'import ensurepip, venv']))
    systemPackage('python3-venv', 'The engines need Python 3 with its venv module.', () => answers('python3', ['-c', 'import ensurepip, venv']))
  if (!answers('mvn', ['--version'])) systemPackage('maven', 'The engines need Maven, which fetches their jars.', () => answers('mvn', ['--version']))
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

function isMade(name, engine) {
  return existsSync(stampOf(name)) && readFileSync(stampOf(name), 'utf8') === keyOf(engine)
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
