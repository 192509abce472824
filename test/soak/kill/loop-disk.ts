/**
 * A file system of its own, ext4 in an image behind a loop device, whose power can be cut: the kernel forgets what was
 * not synced, and the journal is as it was. Needs root, e2fsprogs and Python.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'

const IMAGE_BYTES = '96M'
/** EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH (linux/fs/ext4/ext4.h): not even the journal is written out. */
const CUT_POWER = `
import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))
`

export class LoopDisk implements Disposable {
  readonly #image: string
  /** Where it is mounted. */
  readonly path: string

  /** @throws Error with what is missing. */
  constructor(directory: string) {
    this.#image = `${directory}/image`
    this.path = `${directory}/disk`
    mkdirSync(this.path, { recursive: true })
    run('truncate', '-s', IMAGE_BYTES, this.#image)
    run('mkfs.ext4', '-q', this.#image)
    this.mount()
  }

  mount(): void {
    run('mount', '-o', 'loop', this.#image, this.path)
  }

  /** From here on every call of a process on it fails, until it was unmounted and is mounted again. */
  cutPower(): void {
    run('python3', '-c', CUT_POWER, this.path)
  }

  /** Nobody uses it any more. */
  unmount(): void {
    run('umount', this.path)
  }

  [Symbol.dispose](): void {
    spawnSync('umount', [this.path], { stdio: 'ignore' })
    rmSync(this.#image, { force: true })
  }
}

function run(command: string, ...given: readonly string[]): void {
  const { status, error, stderr } = spawnSync(command, given, { encoding: 'utf8' })
  if (status === 0) return
  throw new Error(`${command} ${given.join(' ')}: ${error?.message ?? stderr}`)
}
