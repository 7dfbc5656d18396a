/** What the state promises, the same on every database. A database adopts it with `stateSuite(name, open)`. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../lib/clock.ts'
import { accountSettingsTests } from './account-settings.suite.ts'
import { budgetTests } from './budgets.suite.ts'
import { bundleTaskTests } from './bundle-tasks.suite.ts'
import type { Filter } from './filters.ts'
import { identityTests } from './identities.suite.ts'
import type { Image } from './images.ts'
import { instanceStoreTests } from './instance-store.suite.ts'
import type { Instance } from './instances.ts'
import { launchTemplateTests } from './launch-templates.suite.ts'
import type { OperationRow } from './operations.ts'
import { pulledImageTests } from './pulled-images.suite.ts'
import { snapshotChargeTests } from './snapshot-charges.suite.ts'
import { account, other, region, snapshot, snapshotTests } from './snapshots.suite.ts'
import type { Snapshot } from './snapshots.ts'
import { spotTests } from './spot.suite.ts'
import type { State } from './state.ts'
import { storedImageTaskTests } from './stored-image-tasks.suite.ts'
import { transferTests } from './transfers.suite.ts'
import { volumeFeatureTests } from './volume-features.suite.ts'
import { emptyLayer, volume, volumeTests } from './volumes.suite.ts'
import type { Volume } from './volumes.ts'

export function stateSuite(name: string, open: () => Promise<State>): void {
  describe(`state on ${name}`, () => {
    let state: State
    beforeEach(async () => {
      state = await open()
    })
    afterEach(() => state.close())

    const addImage = (id: string, about: Partial<Image> = {}, grantees: string[] = []) =>
      state.images.insert(image(id, about), [device('/dev/xvda', `snap-${id}`)], grantees)
    const listed = async (filters: Filter[], accountId = account) =>
      (await state.images.list(region, { accountId, filters })).items.map((row) => row.id).sort()

    const addVolume = (row: Volume) => state.volumes.insert(row, emptyLayer(row.id))

    test('migrating again changes nothing', async () => {
      await addImage('ami-1')
      const again = await open()
      await again.close()
      expect(await state.images.get('ami-1')).toMatchObject({ id: 'ami-1', enaSupport: 1, createdAt: 1000 })
    })

    test('tells which roots a region needs, and for whom', async () => {
      const addSnapshot = (id: string, about: Partial<Snapshot>) =>
        state.snapshots.insert({ ...snapshot(id), ...about })
      await addSnapshot('snap-1', { state: 'completed', rootHash: 'aa' })
      await addSnapshot('snap-2', { state: 'completed', rootHash: 'bb', region: 'us-east-1' })
      await addSnapshot('snap-3', { state: 'deleted', rootHash: 'cc' })
      await addSnapshot('snap-4', { state: 'pending', rootHash: null })
      expect(await state.snapshots.rooted(region)).toEqual([{ id: 'snap-1', rootHash: 'aa' }])
      await addVolume(volume('vol-1', { baseRoot: 'dd' }))
      await addVolume(volume('vol-2', { baseRoot: 'dd', hydratedAt: 5 }))
      await addVolume(volume('vol-3', { baseRoot: 'ee', region: 'us-east-1' }))
      expect(await state.volumes.based(region)).toEqual([{ id: 'vol-1', baseRoot: 'dd' }])
      await state.operations.insert(operation('op-1', { input: '{"a":1}', data: '{"root":"ff"}' }))
      await state.operations.insert(operation('op-2', { state: 'completed' }))
      const unfinished = await state.operations.unfinishedData()
      expect(unfinished).toEqual([{ region, input: '{"a":1}', data: '{"root":"ff"}' }])
      await addImage('ami-1')
      await addImage('ami-2', { state: 'deregistered' })
      expect(await state.images.snapshotUses(region)).toEqual([{ imageId: 'ami-1', snapshotId: 'snap-ami-1' }])
      expect(await state.images.snapshotUses('us-east-1')).toEqual([])
    })

    test('a transaction is all or nothing', async () => {
      const failing = state.transaction(async (tx) => {
        await tx.images.insert(image('ami-1'), [])
        throw new Error('stop here')
      })
      await expect(failing).rejects.toThrow('stop here')
      expect(await state.images.get('ami-1')).toBeUndefined()
    })

    test('transactions come one after the other: what one has checked, no other changes meanwhile', async () => {
      const takeName = (id: string) =>
        state.transaction(async (tx) => {
          if ((await tx.images.usingSnapshot('snap-1')).length > 0) return 'taken'
          await systemClock.sleep(100)
          await tx.images.insert(image(id, { name: id }), [device('/dev/xvda', 'snap-1')])
          return 'took it'
        })
      const ids = ['ami-1', 'ami-2', 'ami-3', 'ami-4']
      // Connections that are made only now would keep the transactions apart.
      await Promise.all(ids.map((id) => state.images.get(id)))
      const answers = await Promise.all(ids.map(takeName))
      expect(answers.sort()).toEqual(['taken', 'taken', 'taken', 'took it'])
    })

    describe('filters', () => {
      beforeEach(async () => {
        await addImage('ami-1', { name: 'web-1', description: '50% off_all' }, ['all'])
        await addImage('ami-2', { name: 'web-22', createdAt: Date.UTC(2026, 10, 23, 8) })
        await addImage('ami-3', { name: 'Web*', enaSupport: 0 })
        await state.tags.put({ id: 'ami-1', type: 'image', accountId: account, region }, [
          { key: 'env', value: 'prod' },
          { key: 'Name', value: 'first' },
        ])
        await state.tags.put({ id: 'ami-2', type: 'image', accountId: other, region }, [{ key: 'env', value: 'prod' }])
      })

      test.each<[string, string[], string[]]>([
        ['name', ['web-1'], ['ami-1']],
        ['name', ['web-1', 'web-22'], ['ami-1', 'ami-2']],
        ['name', ['web-*'], ['ami-1', 'ami-2']],
        ['name', ['web-?'], ['ami-1']],
        ['name', ['Web\\*'], ['ami-3']],
        ['name', ['WEB-*'], []],
        ['description', ['50% off_all'], ['ami-1']],
        ['description', ['50%*'], ['ami-1']],
        ['description', ['5_*'], []],
        ['is-public', ['true'], ['ami-1']],
        ['is-public', ['false'], ['ami-2', 'ami-3']],
        ['ena-support', ['true'], ['ami-1', 'ami-2']],
        ['ena-support', ['false', 'true'], ['ami-1', 'ami-2', 'ami-3']],
        ['virtualization-type', ['hvm'], ['ami-1', 'ami-2', 'ami-3']],
        ['hypervisor', ['nothing'], []],
        ['block-device-mapping.snapshot-id', ['snap-ami-2'], ['ami-2']],
        ['creation-date', ['2026-11-23*'], ['ami-2']],
        ['creation-date', ['2026-11-23T08:00:00.000Z'], ['ami-2']],
        ['creation-date', ['2026-1*'], ['ami-2']],
        ['tag:env', ['prod'], ['ami-1']],
        ['tag:env', ['p*'], ['ami-1']],
        ['tag:env', ['dev'], []],
        ['tag-key', ['Na*'], ['ami-1']],
        ['tag-value', ['first'], ['ami-1']],
      ])('%s = %j finds %j', async (filter, values, expected) => {
        expect(await listed([{ name: filter, values }])).toEqual(expected)
      })

      test('several filters must all hold', async () => {
        const filters = [
          { name: 'name', values: ['web-*'] },
          { name: 'tag:env', values: ['prod'] },
        ]
        expect(await listed(filters)).toEqual(['ami-1'])
      })

      test.each([
        ['no-such-filter', ['x'], /The filter 'no-such-filter' is invalid/],
        ['tags', ['x'], /The filter 'tags' is invalid/],
        ['ena-support', ['maybe'], /Invalid value 'maybe' for filter 'ena-support'/],
        ['is-public', ['1'], /Invalid value '1' for filter 'is-public'/],
        ['creation-date', ['yesterday'], /Invalid value 'yesterday' for filter 'creation-date'/],
      ])('%s = %j is refused', async (filter, values, message) => {
        const refused = listed([{ name: filter, values }])
        await expect(refused).rejects.toMatchObject({
          code: 'InvalidParameterValue',
          message: expect.stringMatching(message),
        })
      })

      test('computed texts are filtered as they are shown', async () => {
        await state.instances.insert([instance('i-1'), instance('i-2', { state: 'stopped' })])
        const request = { accountId: account, nowMs: 0, filters: [{ name: 'instance-state-code', values: ['16'] }] }
        expect((await state.instances.list(region, request)).items.map((row) => row.id)).toEqual(['i-1'])
        await state.snapshots.insert(snapshot('snap-1'))
        const done = [{ name: 'progress', values: ['100%'] }]
        const found = await state.snapshots.list(region, { accountId: account, nowMs: 0, filters: done })
        expect(found.items).toHaveLength(1)
      })
    })

    test('images are seen by their owner, by those they are shared with, and by all when public', async () => {
      await addImage('ami-own')
      await addImage('ami-shared', {}, [other])
      await addImage('ami-public', {}, ['all'])
      await addImage('ami-gone', { state: 'deregistered' }, ['all'])
      expect(await listed([], account)).toEqual(['ami-own', 'ami-public', 'ami-shared'])
      expect(await listed([], other)).toEqual(['ami-public', 'ami-shared'])
      expect(await listed([], '999999999999')).toEqual(['ami-public'])
      const elsewhere = await state.images.list('us-east-1', { accountId: account })
      expect(elsewhere.items).toEqual([])
    })

    test('an image that is shared with several is listed by one of them for its own account only', async () => {
      await addImage('ami-1', {}, [other])
      await state.images.grant('ami-1', [other, '777788889999', 'all'])
      await state.images.revoke('ami-1', ['all'])
      const executable = async (accountId: string, executableBy: string[]) =>
        (await state.images.list(region, { accountId, executableBy })).items.map((row) => row.id)
      expect(await executable(account, ['777788889999'])).toEqual(['ami-1'])
      expect(await executable(other, ['777788889999'])).toEqual([])
      expect(await executable(other, [other])).toEqual(['ami-1'])
      await state.images.revoke('ami-1')
      expect((await state.images.granteesOf(['ami-1'])).get('ami-1')).toEqual([])
      expect(await executable(other, [other])).toEqual([])
    })

    snapshotTests(() => state)
    snapshotChargeTests(() => state)

    test('pages meet every row once, rows of one moment too', async () => {
      const ids = Array.from({ length: 23 }, (_, index) => `ami-${String(index).padStart(2, '0')}`)
      for (const [index, id] of ids.entries()) await addImage(id, { name: id, createdAt: 1000 + Math.floor(index / 7) })
      const seen: string[] = []
      let after: string | undefined
      do {
        const page = await state.images.list(region, { accountId: account, page: { limit: 5, after } })
        seen.push(...page.items.map((row) => row.id))
        after = page.next ?? undefined
      } while (after)
      expect(seen).toEqual(ids)
    })

    test('a page token that is not ours is refused', async () => {
      const refused = state.images.list(region, { accountId: account, page: { limit: 5, after: "1' or 1=1" } })
      await expect(refused).rejects.toMatchObject({ code: 'InvalidPaginationToken' })
    })

    test('a name is used once by the living images of an account in a region', async () => {
      await addImage('ami-1', { name: 'taken' })
      await expect(addImage('ami-2', { name: 'taken' })).rejects.toThrow()
      await addImage('ami-3', { name: 'taken', accountId: other })
      await addImage('ami-4', { name: 'taken', region: 'us-east-1' })
      await state.images.update('ami-1', { state: 'deregistered' })
      await addImage('ami-5', { name: 'taken' })
      expect((await state.images.named(account, region, 'taken'))?.id).toBe('ami-5')
    })

    test('a move happens only from a state that it names', async () => {
      await state.instances.insert([instance('i-1', { state: 'pending' })])
      expect(await state.instances.move('i-1', ['running'], { state: 'stopping' })).toBe(false)
      expect(await state.instances.move('i-1', ['pending', 'running'], { state: 'running' })).toBe(true)
      expect((await state.instances.get('i-1'))?.state).toBe('running')
    })

    test('terminated instances are told for an hour', async () => {
      await state.instances.insert([instance('i-1', { state: 'terminated', terminatedAt: 1000 })])
      const at = (nowMs: number) => state.instances.list(region, { accountId: account, nowMs })
      expect((await at(1000 + 59 * 60_000)).items).toHaveLength(1)
      expect((await at(1000 + 61 * 60_000)).items).toHaveLength(0)
    })

    test('tags are replaced by key, removed by key and value, and each account has its own', async () => {
      const resource = { id: 'ami-1', type: 'image', accountId: account, region }
      await state.tags.put(resource, [{ key: 'a', value: '1' }])
      await state.tags.put(resource, [
        { key: 'a', value: '2' },
        { key: 'b', value: '' },
      ])
      await state.tags.put({ ...resource, accountId: other }, [{ key: 'a', value: 'theirs' }])
      await state.tags.remove(account, 'ami-1', [{ key: 'a', value: 'not this' }])
      expect((await state.tags.of(account, ['ami-1'])).get('ami-1')).toEqual([
        { key: 'a', value: '2' },
        { key: 'b', value: '' },
      ])
      await state.tags.remove(account, 'ami-1', [{ key: 'a', value: undefined }])
      expect((await state.tags.of(account, ['ami-1'])).get('ami-1')).toEqual([{ key: 'b', value: '' }])
      expect((await state.tags.of(other, ['ami-1'])).get('ami-1')).toEqual([{ key: 'a', value: 'theirs' }])
    })

    test('tags are listed in pages', async () => {
      for (const id of ['ami-1', 'ami-2']) {
        const tags = ['a/b', 'c', 'd'].map((key) => ({ key, value: id }))
        await state.tags.put({ id, type: 'image', accountId: account, region }, tags)
      }
      const seen: string[] = []
      let after: string | undefined
      do {
        const page = await state.tags.list(region, { accountId: account, page: { limit: 2, after } })
        seen.push(...page.items.map((row) => `${row.resourceId} ${row.key}`))
        after = page.next ?? undefined
      } while (after)
      expect(seen).toEqual(['ami-1 a/b', 'ami-1 c', 'ami-1 d', 'ami-2 a/b', 'ami-2 c', 'ami-2 d'])
      const filtered = await state.tags.list(region, {
        accountId: account,
        filters: [{ name: 'key', values: ['a/*'] }],
      })
      expect(filtered.items).toHaveLength(2)
    })

    test('a client token is stored once', async () => {
      const row = {
        accountId: account,
        region,
        action: 'A',
        token: 't',
        paramsHash: 'h',
        resourceIds: 'i-1',
        createdAt: 1,
      }
      expect(await state.clientTokens.insert(row)).toBe(true)
      expect(await state.clientTokens.insert({ ...row, resourceIds: 'i-2' })).toBe(false)
      expect((await state.clientTokens.find(row))?.resourceIds).toBe('i-1')
    })

    volumeTests(() => state)
    transferTests(() => state)
    instanceStoreTests(() => state)
    pulledImageTests(() => state)
    storedImageTaskTests(() => state)
    accountSettingsTests(() => state)
    budgetTests(() => state)
    bundleTaskTests(() => state)
    identityTests(() => state)
    launchTemplateTests(() => state)
    spotTests(() => state, instance)
    volumeFeatureTests(() => state)

    test('a setting is made once', async () => {
      const values = await Promise.all(['x', 'y', 'z'].map((value) => state.settings.getOrMake('secret', () => value)))
      expect(new Set(values).size).toBe(1)
      expect(await state.settings.getOrMake('secret', () => 'late')).toBe(values[0])
    })

    describe('operations', () => {
      const claim = (id: string, owner: string, nowMs: number) =>
        state.operations.claim(id, { owner, nowMs, untilMs: nowMs + 100 })

      test('of many claimants one gets the lease', async () => {
        await state.operations.insert(operation('op-1'))
        const claims = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((owner) => claim('op-1', owner, 1)))
        expect(claims.filter(Boolean)).toHaveLength(1)
      })

      test('a lease that ran out is free again, and its former owner can change nothing', async () => {
        await state.operations.insert(operation('op-1'))
        expect(await claim('op-1', 'a', 1)).toBe(true)
        expect(await claim('op-1', 'b', 50)).toBe(false)
        expect(await claim('op-1', 'b', 101)).toBe(true)
        expect(await state.operations.updateHeld('op-1', 'a', { progress: 50 })).toBe(false)
        expect(await state.operations.updateHeld('op-1', 'b', { progress: 60 })).toBe(true)
        expect(await state.operations.get('op-1')).toMatchObject({ progress: 60, attempts: 2 })
      })

      test('operations on one subject are claimable one after the other', async () => {
        await state.operations.insert(operation('op-1', { subjectId: 'i-1', seq: 1 }))
        await state.operations.insert(operation('op-2', { subjectId: 'i-1', seq: 2 }))
        await state.operations.insert(operation('op-3', { subjectId: 'i-2', seq: 3 }))
        await state.operations.insert(operation('op-4', { subjectId: 'i-3', seq: 4, runAfter: 99 }))
        await state.operations.insert(operation('op-5', { subjectId: 'i-4', seq: 5, kind: 'other' }))
        const claimable = async (nowMs: number) =>
          (await state.operations.claimable(nowMs, ['test'], 10)).map((row) => row.id)
        expect(await claimable(10)).toEqual(['op-1', 'op-3'])
        await claim('op-1', 'a', 10)
        expect(await claimable(10)).toEqual(['op-3'])
        await state.operations.updateHeld('op-1', 'a', { state: 'completed' })
        expect(await claimable(99)).toEqual(['op-2', 'op-3', 'op-4'])
      })

      test('leases of a dead process of this host are free at once', async () => {
        await state.operations.insert(operation('op-1'))
        await claim('op-1', 'me', 1)
        await state.operations.releaseAllOf('me')
        expect(await claim('op-1', 'me', 2)).toBe(true)
      })
    })
  })
}

const device = (deviceName: string, snapshotId: string) => ({
  deviceName,
  snapshotId,
  sizeGib: 1,
  volumeType: 'gp3',
  iops: 3000,
  throughput: 125,
  deleteOnTermination: 1 as const,
  encrypted: 0 as const,
  virtualName: null,
})

function image(id: string, about: Partial<Image> = {}): Image {
  return {
    id,
    accountId: account,
    ownerAlias: null,
    region,
    name: id,
    description: null,
    state: 'available',
    stateReasonCode: null,
    stateReasonMessage: null,
    architecture: 'x86_64',
    rootDeviceName: '/dev/xvda',
    rootDeviceType: 'ebs',
    ...{ imageLocation: null, manifestHash: null, bundleBytes: null, rootBytes: null },
    virtualizationType: 'hvm',
    enaSupport: 1,
    sriovNetSupport: null,
    bootMode: null,
    imdsSupport: null,
    tpmSupport: null,
    platformDetails: 'Linux/UNIX',
    sourceInstanceId: null,
    sourceImageId: null,
    sourceImageRegion: null,
    createdAt: 1000,
    deregisteredAt: null,
    ...about,
  }
}

function instance(id: string, about: Partial<Instance> = {}): Instance {
  return {
    id,
    accountId: account,
    region,
    zone: 'eu-west-1a',
    reservationId: 'r-1',
    launchIndex: 0,
    imageId: 'ami-1',
    instanceType: 't3.nano',
    architecture: 'x86_64',
    state: 'running',
    stateReasonCode: null,
    stateReasonMessage: null,
    stateTransitionReason: '',
    heldBy: null,
    reachability: 'passed',
    reachabilityAt: 0,
    keyName: null,
    userData: null,
    vpcId: 'vpc-1',
    subnetId: 'subnet-1',
    rootDeviceName: '/dev/xvda',
    rootDeviceType: 'ebs',
    virtualizationType: 'hvm',
    bootMode: null,
    platformDetails: 'Linux/UNIX',
    enaSupport: 1,
    ebsOptimized: 0,
    monitoring: 0,
    disableApiTermination: 0,
    disableApiStop: 0,
    shutdownBehavior: 'stop',
    httpTokens: 'optional',
    httpEndpoint: 'enabled',
    httpPutResponseHopLimit: 1,
    instanceMetadataTags: 'disabled',
    cpuCredits: null,
    clientToken: null,
    spotRequestId: null,
    launchedAt: 1,
    createdAt: 1,
    terminatedAt: null,
    ...about,
  }
}

function operation(id: string, about: Partial<OperationRow> = {}): OperationRow {
  return {
    id,
    kind: 'test',
    subjectId: id,
    accountId: account,
    region,
    state: 'pending',
    step: 'first',
    progress: 0,
    attempts: 0,
    runAfter: 0,
    leaseOwner: null,
    leaseUntil: 0,
    input: '{}',
    data: '{}',
    error: null,
    createdAt: 1,
    updatedAt: 1,
    seq: 1,
    ...about,
  }
}
