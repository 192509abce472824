/**
 * A disk that can be full: a small tmpfs of its own. Where mounting is not allowed a limit on the length of files does
 * the same to one process, and the test says so.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import process from 'node:process'
import { onTestFinished } from 'vitest'
import { temporaryDirectory } from './temporary-directory.ts'

export interface SmallDisk {
  /** An empty directory on it. */
  readonly path: string
  readonly isMounted: boolean
  /** Leaves no room for anything. */
  fill(): void
  /** Makes room again. */
  free(): void
  /** Remounts it so that nothing can be written, or so that it can; nothing may be open for writing. */
  setReadOnly(isReadOnly: boolean): void
}

/** `bytes`: of the disk, when it is mounted. The disk goes away with the test. */
export async function smallDisk(bytes: number): Promise<SmallDisk> {
  const path = await temporaryDirectory()
  const mounted =
    process.env['STRATALOG_TEST_NO_MOUNT'] === '1'
      ? { status: 1, stderr: 'STRATALOG_TEST_NO_MOUNT is set' }
      : run('mount', '-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path)
  if (mounted.status !== 0) {
    process.stderr.write(
      `\nNo tmpfs could be mounted (${mounted.stderr.trim()}): this test does what it can with a limit on the length of files, which is less than a full disk. Run it as root for the real thing.\n`,
    )
    return limitedProcess(path)
  }
  onTestFinished(() => {
    run('umount', '-l', path)
  })
  mkdirSync(`${path}/place`)
  return {
    path: `${path}/place`,
    isMounted: true,
    fill: () => fillUp(path),
    free: () => rmSync(`${path}/ballast`, { force: true }),
    setReadOnly: (isReadOnly) => {
      const remounted = run('mount', '-o', `remount,${isReadOnly ? 'ro' : 'rw'}`, path)
      if (remounted.status !== 0) throw new Error(`cannot remount: ${remounted.stderr}`)
    },
  }
}

function fillUp(path: string): void {
  const { bavail, bsize } = statfsSync(path)
  writeFileSync(`${path}/ballast`, Buffer.alloc(bavail * bsize))
}

function limitedProcess(path: string): SmallDisk {
  const ignore = (): void => {}
  // Without a handler the signal that comes with the error ends the process.
  process.on('SIGXFSZ', ignore)
  const limit = (bytes: number | 'unlimited'): void => {
    const result = run('prlimit', '--pid', String(process.pid), `--fsize=${bytes}:`)
    if (result.status !== 0) throw new Error(`cannot limit files: ${result.stderr}`)
  }
  onTestFinished(() => {
    limit('unlimited')
    process.off('SIGXFSZ', ignore)
  })
  return {
    path,
    isMounted: false,
    fill: () => limit(1),
    free: () => limit('unlimited'),
    setReadOnly: () => {
      throw new Error('only a file system of its own can be made read-only')
    },
  }
}

function run(
  command: string,
  ...given: readonly string[]
): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync(command, given, { encoding: 'utf8' })
  return { status, stderr }
}
