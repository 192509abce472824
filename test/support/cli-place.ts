/** A directory and an archive that command-line tests share, with a thousand events in them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { runJson } from './cli.ts'

export interface CliEvent {
  readonly n: number
  readonly name: string
  readonly price: number
  readonly ok: boolean
}

export const EVENTS: readonly CliEvent[] = Array.from({ length: 1_000 }, (_, n) => ({
  n,
  name: `event ${n % 7}`,
  price: n / 4,
  ok: n % 2 === 0,
}))

export const EVENTS_NDJSON: string = EVENTS.map((event) => `${JSON.stringify(event)}\n`).join('')

export class CliPlace {
  readonly root: string = mkdtempSync(join(tmpdir(), 'stratalog-test-'))
  readonly dataDir: string = join(this.root, 'data')
  readonly archive: string = pathToFileURL(join(this.root, 'archive')).href
  /** The flags that name both. */
  readonly where: readonly string[] = ['--data-dir', this.dataDir, '--archive', this.archive]

  /** The log `events`, all of it also in the archive, and the snapshot `first`. */
  async fill(): Promise<void> {
    await runJson([
      'import',
      ...this.where,
      '--log',
      'events',
      this.file('events.ndjson', EVENTS_NDJSON),
    ])
    await runJson(['tier', 'now', ...this.where, '--to', 'object'])
    await runJson(['snapshot', 'create', ...this.where, '--name', 'first'])
  }

  /** A file with this content; its path. */
  file(name: string, content: string | Uint8Array): string {
    const path = join(this.root, name)
    writeFileSync(path, content)
    return path
  }

  /** The flag that names a data directory of its own. */
  fresh(): readonly string[] {
    return ['--data-dir', mkdtempSync(join(this.root, 'data-'))]
  }

  /** The URL of an archive of its own. */
  freshArchive(): string {
    return pathToFileURL(mkdtempSync(join(this.root, 'archive-'))).href
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true })
  }
}
