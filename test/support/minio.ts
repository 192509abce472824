/**
 * A MinIO for tests, found in the order that CONTRIBUTING and docs/object-stores.md state:
 *
 * 1. the one at STRATALOG_TEST_S3_ENDPOINT (with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), used
 *    as it is;
 * 2. a `minio` binary on the PATH, or in the cache folder (STRATALOG_CACHE, by default
 *    ~/.cache/stratalog);
 * 3. a container engine that runs (docker, podman);
 * 4. built by `go install` into the cache folder.
 *
 * With none of these it throws, saying what to install: a test that needs MinIO fails then, it
 * never skips. What is started here listens on a loopback port of its own with random credentials
 * and a temporary data directory, and is stopped by its process id.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { access, constants, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

export interface MinioSettings {
  readonly endpoint: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly region: string
}

export interface Minio extends MinioSettings {
  stop(): Promise<void>
}

const GO_MODULE = 'github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c'
const CONTAINER_IMAGE = 'docker.io/minio/minio:RELEASE.2025-09-07T16-13-09Z'
const REGION = 'us-east-1'
const READY_MS_MAX = 60_000
const STOP_MS_MAX = 10_000

const run = promisify(execFile)

export async function startMinio(): Promise<Minio> {
  const given = givenMinio()
  if (given !== null) return given
  const binary = await findBinary()
  if (binary !== null) return startBinary(binary)
  const engine = await findContainerEngine()
  if (engine !== null) return startContainer(engine)
  return startBinary(await buildBinary())
}

function givenMinio(): Minio | null {
  const endpoint = process.env['STRATALOG_TEST_S3_ENDPOINT'] ?? ''
  if (endpoint === '') return null
  const accessKeyId = process.env['AWS_ACCESS_KEY_ID'] ?? ''
  const secretAccessKey = process.env['AWS_SECRET_ACCESS_KEY'] ?? ''
  if (accessKeyId === '' || secretAccessKey === '') {
    throw new Error(
      'STRATALOG_TEST_S3_ENDPOINT is set; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY with it.',
    )
  }
  const region = process.env['AWS_REGION'] ?? REGION
  return { endpoint, accessKeyId, secretAccessKey, region, stop: async () => {} }
}

function cacheFolder(): string {
  return process.env['STRATALOG_CACHE'] ?? join(homedir(), '.cache', 'stratalog')
}

async function findBinary(): Promise<string | null> {
  return (await findOnPath('minio')) ?? (await executable(join(cacheFolder(), 'minio')))
}

async function findOnPath(name: string): Promise<string | null> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const found = folder === '' ? null : await executable(join(folder, name))
    if (found !== null) return found
  }
  return null
}

async function executable(path: string): Promise<string | null> {
  return access(path, constants.X_OK).then(
    () => path,
    () => null,
  )
}

async function findContainerEngine(): Promise<string | null> {
  for (const engine of ['docker', 'podman']) {
    const answers = await run(engine, ['info'], { timeout: 10_000 }).then(
      () => true,
      () => false,
    )
    if (answers) return engine
  }
  return null
}

async function buildBinary(): Promise<string> {
  const folder = cacheFolder()
  if ((await findOnPath('go')) === null) {
    throw new Error(
      'The S3 tests need MinIO, and none was found. Do one of these: set STRATALOG_TEST_S3_ENDPOINT with AWS_ACCESS_KEY_ID and ' +
        `AWS_SECRET_ACCESS_KEY; put a minio binary on the PATH or at ${join(folder, 'minio')}; start docker or podman; install Go.`,
    )
  }
  await mkdir(folder, { recursive: true })
  process.stderr.write(
    `Building MinIO into ${folder}; the first time this takes 6 to 9 minutes on two cores.\n`,
  )
  await run('go', ['install', GO_MODULE], {
    env: { ...process.env, GOBIN: folder },
    maxBuffer: 64 * 1024 * 1024,
  })
  return join(folder, 'minio')
}

interface Access {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

function newAccess(): Access {
  return {
    accessKeyId: `test-${randomBytes(6).toString('hex')}`,
    secretAccessKey: randomBytes(20).toString('hex'),
  }
}

/** The console would otherwise listen on every interface. */
function serverEnvironment(keys: Access): Record<string, string> {
  return {
    MINIO_ROOT_USER: keys.accessKeyId,
    MINIO_ROOT_PASSWORD: keys.secretAccessKey,
    MINIO_BROWSER: 'off',
    MINIO_UPDATE: 'off',
    MINIO_CI_CD: '1',
  }
}

async function startBinary(binary: string): Promise<Minio> {
  const folder = await mkdtemp(join(tmpdir(), 'stratalog-minio-'))
  const keys = newAccess()
  const address = `127.0.0.1:${await freePort()}`
  const child = spawn(binary, ['server', '--quiet', '--address', address, folder], {
    env: { ...process.env, ...serverEnvironment(keys) },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = collectOutput(child)
  const removeExitHook = killAtExit(child)
  const stop = async (): Promise<void> => {
    removeExitHook()
    await stopChild(child)
    await rm(folder, { recursive: true, force: true })
  }
  try {
    await waitUntilReady(
      `http://${address}`,
      () => child.exitCode !== null || child.signalCode !== null,
    )
  } catch (error) {
    await stop()
    throw new Error(`MinIO (${binary}) did not start: ${output()}`, { cause: error })
  }
  return { endpoint: `http://${address}`, ...keys, region: REGION, stop }
}

async function startContainer(engine: string): Promise<Minio> {
  const keys = newAccess()
  const port = await freePort()
  const environment = Object.entries(serverEnvironment(keys)).flatMap(([name, value]) => [
    '-e',
    `${name}=${value}`,
  ])
  const { stdout } = await run(engine, [
    ...['run', '--rm', '--detach', '--publish', `127.0.0.1:${port}:9000`],
    ...environment,
    ...[CONTAINER_IMAGE, 'server', '/data'],
  ])
  const id = stdout.trim()
  const stop = async (): Promise<void> => {
    await run(engine, ['stop', id]).catch(() => {})
  }
  try {
    await waitUntilReady(`http://127.0.0.1:${port}`, () => false)
  } catch (error) {
    await stop()
    throw error
  }
  return { endpoint: `http://127.0.0.1:${port}`, ...keys, region: REGION, stop }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no free port')
  return address.port
}

function collectOutput(child: ChildProcess): () => string {
  let text = ''
  const add = (chunk: Buffer): void => {
    text = (text + chunk.toString('utf8')).slice(-4_000)
  }
  child.stdout?.on('data', add)
  child.stderr?.on('data', add)
  child.on('error', (error) => add(Buffer.from(error.message)))
  return () => text.trim()
}

/** A run that is cut short takes its server with it. */
function killAtExit(child: ChildProcess): () => void {
  const kill = (): void => {
    child.kill('SIGKILL')
  }
  process.once('exit', kill)
  return () => process.off('exit', kill)
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX)
  await ended
  clearTimeout(timer)
}

async function waitUntilReady(endpoint: string, hasEnded: () => boolean): Promise<void> {
  const deadline = performance.now() + READY_MS_MAX
  for (;;) {
    const isReady = await fetch(`${endpoint}/minio/health/ready`, {
      signal: AbortSignal.timeout(2_000),
    }).then(
      (response) => response.ok,
      () => false,
    )
    if (isReady) return
    if (hasEnded()) throw new Error('it ended at once')
    if (performance.now() > deadline) throw new Error(`it was not ready within ${READY_MS_MAX} ms`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
