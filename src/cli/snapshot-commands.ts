import type { Command } from 'commander'
import { list } from './arguments.ts'
import { addConfigFlags, addWhereFlags } from './config-flags.ts'
import { type SetStatus, command } from './define-command.ts'
import { addServerFlags } from './remote.ts'
import type { Session } from './session.ts'

export function addSnapshotCommands(
  program: Command,
  session: Session,
  setStatus: SetStatus,
): void {
  const snapshot = program.command('snapshot').description('Name moments of the past.')
  const creating = command(
    snapshot,
    'create',
    'Name this moment.',
    'snapshot create --data-dir data --archive s3://bucket/prefix --name before-upgrade',
  )
    .option('--name <name>', 'a name; without one it is made from the time')
    .option('--logs <a,b>', 'these logs only', list)
  addConfigFlags(addServerFlags(creating)).action(async (options) => {
    const { createSnapshot } = await import('./commands/snapshot.ts')
    await createSnapshot(session, options)
  })

  const listing = command(
    snapshot,
    'list',
    'All snapshots.',
    'snapshot list --archive s3://bucket/prefix',
  )
  addWhereFlags(addServerFlags(listing)).action(async (options) => {
    const { listSnapshots } = await import('./commands/snapshot.ts')
    await listSnapshots(session, options)
  })

  const showing = command(
    snapshot,
    'show',
    'One snapshot, with the offsets of each log.',
    'snapshot show before-upgrade --archive s3://bucket/prefix',
  ).argument('<snapshot>', 'name or id')
  addWhereFlags(addServerFlags(showing)).action(async (name: string, options) => {
    const { showSnapshot } = await import('./commands/snapshot.ts')
    await showSnapshot(session, name, options)
  })

  const verifying = command(
    snapshot,
    'verify',
    'Check every byte that a restore of the snapshot needs.',
    'snapshot verify before-upgrade --archive s3://bucket/prefix',
  ).argument('<snapshot>', 'name or id')
  addWhereFlags(addServerFlags(verifying)).action(async (name: string, options) => {
    const { verifySnapshot } = await import('./commands/verify.ts')
    await verifySnapshot(session, name, options, setStatus)
  })

  const deleting = command(
    snapshot,
    'delete',
    'Forget a snapshot; what only it held is collected later.',
    'snapshot delete before-upgrade --data-dir data --archive s3://bucket/prefix',
  ).argument('<snapshot>', 'name or id')
  addConfigFlags(addServerFlags(deleting)).action(async (name: string, options) => {
    const { deleteSnapshot } = await import('./commands/snapshot.ts')
    await deleteSnapshot(session, name, options)
  })

  const comparing = command(
    snapshot,
    'diff',
    'What the second snapshot has more and less than the first.',
    'snapshot diff monday tuesday --archive s3://bucket/prefix',
  )
    .argument('<from>', 'name or id')
    .argument('<to>', 'name or id')
  addWhereFlags(addServerFlags(comparing)).action(async (from: string, to: string, options) => {
    const { diffSnapshots } = await import('./commands/snapshot.ts')
    await diffSnapshots(session, from, to, options)
  })
}
