/**
 * What `npm start` and `npm test` need before they run, on a machine that has only Node 20 or newer, npm and git. Plain JavaScript,
 * because nothing is installed yet when this starts. Each step is skipped when it was done before for the same input.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const stamps = join(root, 'node_modules', '.lagoa')
const purpose = process.argv[2] ?? 'start'

if (Number(process.versions.node.split('.')[0]) < 20)
  fail(`Node ${process.versions.node} is too old.`, 'Install Node 20 or newer; Lagoa brings the Node it runs on itself.')

step('packages', hashOf(['package-lock.json']), 'Installing packages (about half a minute the first time)', () =>
  // Not `npm ci`: it refuses a lockfile without the optional packages of other platforms, which not every registry has.
  run('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'], 'Check the network and the free disk space, then run it again.'),
)
// Packages were installed by whatever Node is there; from here on everything runs on the Node among them.
const bin = join(root, 'node_modules', '.bin')
const node = join(bin, 'node')
if (!existsSync(node)) fail('The packaged Node is missing.', 'Remove node_modules and run it again.')

step('console', hashOf(['package-lock.json', ...filesBelow('console', ['dist', 'node_modules']), 'src/server/wire.ts']), 'Building the console', () =>
  run(node, [join(bin, 'vite'), 'build', 'console', '--logLevel', 'warn'], 'The message above names the file.'),
)
pythonEnvironment()
if (purpose === 'test') s3Server()
if (purpose === 'test') kafkaServer()
if (purpose === 'test') engineServers()
if (purpose === 'test') wallsOfTheSandbox()
if (purpose === 'test') systemPackages([['chromium', ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']]])

/** The Python that users' code runs on. Without it jobs in Python are refused, everything else runs, and this says so. */
function pythonEnvironment() {
  const stamp = join(stamps, 'python', 'lagoa.json')
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'python/requirements.lock')))
    .update('\0')
    .digest('hex')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8').includes(lock)) return
  say("Making the Python environment of users' code (about half a minute the first time)")
  const began = Date.now()
  const { status, stderr } = spawnSync(node, [join(root, 'src/cli/main.ts'), 'python', 'install'], { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' })
  if (status !== 0) return say(`It could not be made; jobs in Python will be refused:\n${stderr.trim().split('\n').slice(-3).join('\n')}`)
  say(`Making the Python environment: done in ${((Date.now() - began) / 1000).toFixed(1)} s`)
}

/** The real S3 server of the tests, built by Go from source that its checksum database vouches for. Without Go those tests are skipped, and say so. */
function s3Server() {
  if (spawnSync('go', ['version'], { stdio: 'ignore' }).status !== 0)
    return say('There is no Go: the tests on S3 will be skipped. Install it with: apt-get install golang-go')
  const module = 'github.com/versity/versitygw/cmd/versitygw@v1.8.0'
  const folder = join(stamps, 's3-server')
  const stamp = join(folder, 'stamp')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === module) return
  say('Building the S3 server of the tests (about a minute the first time)')
  const began = Date.now()
  mkdirSync(folder, { recursive: true })
  const { status, stderr } = spawnSync('go', ['install', '-trimpath', '-ldflags=-s -w', module], {
    env: { ...process.env, GOBIN: folder, CGO_ENABLED: '0' },
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
    timeout: 600_000,
  })
  if (status !== 0) return say(`It could not be built; the tests on S3 will be skipped: ${stderr.trim().split('\n').at(-1)}`)
  writeFileSync(stamp, module)
  say(`Building the S3 server of the tests: done in ${((Date.now() - began) / 1000).toFixed(1)} s`)
}

/**
 * The real Apache Kafka of the tests, as Maven Central has it. Java and Maven are installed when we may; without them those tests are
 * skipped, and say so.
 */
function kafkaServer() {
  const folder = join(stamps, 'kafka')
  const stamp = join(folder, 'stamp')
  const pom = kafkaPom('4.3.1')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === pom) return
  if (!javaTools()) {
    const line = 'apt-get update && apt-get install -y --no-install-recommends openjdk-17-jre-headless maven'
    if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get'))
      return say(`There is no Java 17 with Maven: the tests on Kafka will be skipped. Install them with: sudo sh -c '${line}'`)
    say('Installing Java and Maven for the tests on Kafka')
    spawnSync('sh', ['-c', line], { stdio: 'ignore', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } })
    if (!javaTools()) return say(`They could not be installed; the tests on Kafka will be skipped. Try by hand: ${line}`)
  }
  say('Fetching the Kafka of the tests (50 MB the first time)')
  const began = Date.now()
  const project = mkdtempSync(join(tmpdir(), 'lagoa-kafka-'))
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(project, 'pom.xml'), pom)
  const { status, stdout } = spawnSync(
    'mvn',
    ['--batch-mode', '--quiet', 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies', `-DoutputDirectory=${join(folder, 'libs')}`],
    { cwd: project, stdio: ['ignore', 'pipe', 'ignore'], encoding: 'utf8', timeout: 600_000 },
  )
  rmSync(project, { recursive: true, force: true })
  if (status !== 0) return say(`It could not be fetched; the tests on Kafka will be skipped: ${stdout.trim().split('\n')[0]}`)
  writeFileSync(stamp, pom)
  say(`Fetching the Kafka of the tests: done in ${((Date.now() - began) / 1000).toFixed(1)} s`)
}

/** Kafka Connect comes with the tools and is half of what they weigh; no test needs it. */
function kafkaPom(version) {
  const connect = ['connect-api', 'connect-json', 'connect-runtime', 'connect-transforms']
  const exclusions = connect.map((name) => `<exclusion><groupId>org.apache.kafka</groupId><artifactId>${name}</artifactId></exclusion>`).join('')
  const dependencies = ['kafka_2.13', 'kafka-tools']
    .map(
      (name) =>
        `<dependency><groupId>org.apache.kafka</groupId><artifactId>${name}</artifactId><version>${version}</version><exclusions>${exclusions}</exclusions></dependency>`,
    )
    .join('')
  return `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>lagoa</groupId><artifactId>kafka</artifactId><version>1</version><dependencies>${dependencies}</dependencies></project>\n`
}

function javaTools() {
  const { stderr, status } = spawnSync('java', ['-version'], { encoding: 'utf8' })
  return status === 0 && Number(/version "(\d+)/.exec(stderr)?.[1] ?? 0) >= 17 && spawnSync('mvn', ['--version'], { stdio: 'ignore' }).status === 0
}

/**
 * Redis, RabbitMQ and PostgreSQL of the system, which tests start by themselves: what Debian's packages would start at once, and a database
 * cluster that one of them would make, is held back. Without them those tests are skipped, and say so.
 */
function engineServers() {
  const absent = absentEngines()
  if (absent.length === 0) return
  const names = absent.join(' ')
  const line = `apt-get update && apt-get install -y --no-install-recommends ${names}`
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get'))
    return say(`There is no ${absent.join(', ')}: the tests on them will be skipped. Install them with: sudo sh -c '${line}'`)
  say(`Installing ${absent.join(', ')} for the tests`)
  const cluster = '/etc/postgresql-common/createcluster.conf'
  if (!existsSync(cluster)) {
    mkdirSync(dirname(cluster), { recursive: true })
    writeFileSync(cluster, 'create_main_cluster = false\n')
  }
  // What a service may do when its package is installed (Debian Policy, 9.3.3.1): 101 is "not allowed".
  const policy = '/usr/sbin/policy-rc.d'
  const isOurs = !existsSync(policy)
  if (isOurs) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    spawnSync('sh', ['-c', `apt-get -qq update && apt-get -qq -y -o Dpkg::Options::=--force-confold install --no-install-recommends ${names}`], {
      stdio: 'ignore',
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    })
    if (existsSync('/run/systemd/system')) spawnSync('systemctl', ['disable', '--quiet', ...absent], { stdio: 'ignore' })
  } finally {
    if (isOurs) rmSync(policy, { force: true })
  }
  if (absentEngines().length > 0) say(`They could not be installed; the tests on them will be skipped. Try by hand: ${line}`)
}

function absentEngines() {
  const isThere = {
    'redis-server': ['/usr/bin/redis-server', '/usr/bin/valkey-server'].some((path) => existsSync(path)),
    'rabbitmq-server': existsSync('/usr/lib/rabbitmq/bin/rabbitmq-server'),
    postgresql:
      existsSync('/usr/lib/postgresql') &&
      readdirSync('/usr/lib/postgresql').some((version) => Number(version) >= 15 && existsSync(`/usr/lib/postgresql/${version}/bin/postgres`)),
  }
  return Object.keys(isThere).filter((name) => !isThere[name])
}

/** Bubblewrap, behind which the tests run users' Python. Without it those tests are skipped, and say so. */
function wallsOfTheSandbox() {
  if (process.platform !== 'linux' || existsSync('/usr/bin/bwrap')) return
  const line = 'apt-get update && apt-get install -y --no-install-recommends bubblewrap'
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get'))
    return say(`There is no bubblewrap: the tests of the sandbox will be skipped. Install it with: sudo sh -c '${line}'`)
  say('Installing bubblewrap for the tests of the sandbox')
  spawnSync('sh', ['-c', line], { stdio: 'ignore', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } })
  if (!existsSync('/usr/bin/bwrap')) say(`It could not be installed; the tests of the sandbox will be skipped. Try by hand: ${line}`)
}

/** Debian packages that tests start: installed when we may, else the line that does it is printed. */
function systemPackages(wanted) {
  const absent = wanted.filter(([, paths]) => !paths.some((path) => existsSync(path))).map(([name]) => name)
  if (absent.length === 0) return
  const line = `apt-get update && apt-get install -y --no-install-recommends ${absent.join(' ')}`
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) fail(`The tests need: ${absent.join(', ')}.`, `Run: sudo sh -c '${line}'`)
  say(`Installing ${absent.join(', ')}`)
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  run(
    'sh',
    ['-c', `(apt-get -qq update && apt-get -qq -y install --no-install-recommends ${absent.join(' ')}) > /dev/null`],
    `Run by hand: ${line}`,
    environment,
  )
}

function step(name, input, title, work) {
  const stamp = join(stamps, name)
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === input && (name !== 'console' || existsSync(join(root, 'console/dist/index.html')))) return
  say(title)
  const began = Date.now()
  work()
  mkdirSync(stamps, { recursive: true })
  writeFileSync(stamp, input)
  say(`${title.split(' (')[0]}: done in ${((Date.now() - began) / 1000).toFixed(1)} s`)
}

function run(command, args, hint, environment = process.env) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], env: environment })
  if (error || status !== 0) fail(`${command} ${args[0]} ${error ? error.message : `ended with ${status}`}.`, hint)
}

function hashOf(files) {
  const hash = createHash('sha256').update(process.arch)
  for (const file of files) hash.update(file).update(readFileSync(join(root, file)))
  return hash.digest('hex')
}

function filesBelow(folder, except) {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter(({ name }) => !except.includes(name))
    .flatMap((entry) => (entry.isDirectory() ? filesBelow(join(folder, entry.name), except) : [join(folder, entry.name)]))
    .sort((a, b) => (a < b ? -1 : 1))
}

function say(text) {
  process.stderr.write(`lagoa: ${text}\n`)
}

function fail(what, hint) {
  process.stderr.write(`lagoa: ${what}\n       ${hint}\n`)
  process.exit(1)
}
