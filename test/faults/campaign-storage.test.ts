import { testFaults } from '../support/campaign.ts';

testFaults('storage');
