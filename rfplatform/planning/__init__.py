"""What planners read off a radio map: 3GPP measures, servers, rates, coverage."""
